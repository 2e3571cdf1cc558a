import json
import subprocess
import sys
from pathlib import Path

import pytest

from pangaea.telemetry import heartbeat
from pangaea.telemetry.heartbeat import Heartbeat, Pulse, State


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heartbeat"


def probe(path: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pangaea.telemetry.heartbeat", *arguments, str(path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(heartbeat.__file__).parents[2],
    )
    return done.returncode, done.stderr.strip()


class TestAHeartbeat:
    def test_tells_what_each_part_is_at(self, path: Path) -> None:
        heart = Heartbeat("relay", str(path))
        orders, users = heart.add(Pulse("orders")), heart.add(Pulse("users"))
        orders.beat(State.LEADING)
        users.beat(State.INTERRUPTED, "no broker")
        heart.write()
        told = json.loads(path.read_text())
        assert told["process"] == "relay"
        assert told["parts"]["orders"]["state"] == "leading"
        assert (told["parts"]["users"]["reason"], told["ready"]) == ("no broker", False)

    def test_does_not_say_that_a_silent_relay_leads(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heartbeat, "LEAD_CONFIRMED", 0.0)
        heart = Heartbeat("relay", str(path))
        orders = heart.add(Pulse("orders"))
        orders.beat(State.LEADING)
        heart.write()
        told = json.loads(path.read_text())
        assert (told["parts"]["orders"]["state"], told["ready"]) == ("interrupted", False)
        assert "no pass has ended" in told["parts"]["orders"]["reason"]

    def test_is_not_written_while_a_part_hangs(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heartbeat, "STALE", 0.0)
        heart = Heartbeat("relay", str(path))
        heart.add(Pulse("orders"))
        heart.write()
        assert not path.exists()

    def test_goes_with_its_process(self, path: Path) -> None:
        heart = Heartbeat("relay", str(path))
        heart.write()
        heart.remove()
        assert list(path.parent.iterdir()) == []

    def test_without_a_file_tells_nobody(self) -> None:
        Heartbeat("relay", "").write()


class TestAPulse:
    def test_tells_of_a_change_once(self) -> None:
        pulse = Pulse("orders")
        assert pulse.beat(State.LEADING) is not None
        assert pulse.beat(State.LEADING) is None


class TestTheProbe:
    def test_is_content_with_a_process_that_is_alive(self, path: Path) -> None:
        heart = Heartbeat("relay", str(path))
        heart.add(Pulse("orders")).beat(State.INTERRUPTED, "no broker")
        heart.write()
        assert probe(path) == (0, "")

    def test_names_what_is_not_ready(self, path: Path) -> None:
        heart = Heartbeat("relay", str(path))
        heart.add(Pulse("orders")).beat(State.INTERRUPTED, "no broker")
        heart.write()
        assert probe(path, "--ready") == (1, "not ready: orders is interrupted no broker")

    def test_fails_on_an_old_one_and_on_none(self, path: Path) -> None:
        assert probe(path)[0] == 1
        path.write_text('{"process": "relay", "at": 1.0, "ready": true, "parts": {}}')
        code, why = probe(path)
        assert code == 1
        assert why.endswith("s old")

    def test_needs_no_django(self) -> None:
        program = "import sys, pangaea.telemetry.heartbeat; sys.exit('django' in sys.modules)"
        subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(heartbeat.__file__).parents[2])
