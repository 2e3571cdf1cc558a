"""The keys that the local profile generates."""

import os
import stat
import sys
from pathlib import Path
from subprocess import PIPE, Popen, run

from tests.processes import ROOT

READ = "import sys; from pathlib import Path; from pangaea.configuration.generated import generated_secrets as made; \
print(sorted(made(Path(sys.argv[1])).items()))"


def test_processes_that_start_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    started = [Popen([sys.executable, "-c", READ, str(tmp_path / "state")], stdout=PIPE, text=True) for _ in range(6)]
    printed = {process.communicate(timeout=60)[0] for process in started}

    assert len(printed) == 1
    assert "BEGIN PRIVATE KEY" in printed.pop()


def test_only_the_owner_reads_what_the_local_profile_keeps(tmp_path: Path) -> None:
    state = tmp_path / "state"
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "pangaea.settings.local",
        "LOCAL_STATE_DIR": str(state),
    }
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    run(command, cwd=ROOT, env=environment, check=True, timeout=120)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    databases = sorted(state.glob("*.sqlite3*"))
    assert databases
    assert {stat.S_IMODE(path.stat().st_mode) for path in databases} == {0o600}


def test_only_the_owner_reads_the_keys(tmp_path: Path) -> None:
    with Popen([sys.executable, "-c", READ, str(tmp_path)], stdout=PIPE, text=True) as process:
        process.communicate(timeout=60)

    for name in ("secret_key", "signing_key.pem"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
