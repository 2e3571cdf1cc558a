"""The keys that the local profile makes for itself."""

import stat
import sys
from pathlib import Path
from subprocess import PIPE, Popen

READ = "import sys; from pathlib import Path; from pangaea.settings.generated import generated_secrets as made; \
print(sorted(made(Path(sys.argv[1])).items()))"


def test_processes_that_start_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    started = [Popen([sys.executable, "-c", READ, str(tmp_path / "state")], stdout=PIPE, text=True) for _ in range(6)]
    printed = {process.communicate(timeout=60)[0] for process in started}

    assert len(printed) == 1
    assert "BEGIN PRIVATE KEY" in printed.pop()


def test_only_the_owner_reads_the_keys(tmp_path: Path) -> None:
    with Popen([sys.executable, "-c", READ, str(tmp_path)], stdout=PIPE, text=True) as process:
        process.communicate(timeout=60)

    for name in ("secret_key", "signing_key.pem"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
