"""SIGTERM ends a process in time even before it is ready, while its database or broker does not answer."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from joserfc.jwk import ECKey

from pangaea.testing import free_port, wait_until
from tests.acceptance.topologies import monolith_environment
from tests.processes import MANAGE, START_SECONDS, Process, Workspace, workspace

pytestmark = pytest.mark.full

GRACE = 10
"""Seconds."""


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Workspace]:
    with workspace(tmp_path) as made:
        yield made


def start(space: Workspace, kind: str, *arguments: str, database: int, broker: int) -> Process:
    """Start a process whose servers are at these ports of the loopback address."""
    environment = monolith_environment(
        database_url=f"postgres://unused:unused@127.0.0.1:{database}/nothing",
        broker_url=f"amqp://guest:guest@127.0.0.1:{broker}//",
        signing_key=ECKey.generate_key("P-256"),
    )
    return space.start(kind, (*MANAGE, kind, *arguments), {**environment, "SHUTDOWN_GRACE": str(GRACE)})


def terminate(process: Process) -> int:
    """Send SIGTERM; returns the exit status. Fails after the grace plus what a busy machine may add."""
    os.kill(process.popen.pid, signal.SIGTERM)
    return process.popen.wait(timeout=GRACE + 10)


def wait_connected(listener_port: int, process: Process) -> None:
    """Wait until the process has a connection to that port (Linux)."""

    def is_connected() -> bool:
        process.check()
        wanted = f":{listener_port:04X}"
        rows = Path(f"/proc/{process.popen.pid}/net/tcp").read_text().splitlines()[1:]
        own = {str(target) for target in _open_files(process)}
        return any(row.split()[2].endswith(wanted) and f"socket:[{row.split()[9]}]" in own for row in rows)

    wait_until(is_connected, what=f"{process.name} to connect", seconds=START_SECONDS)


def _open_files(process: Process) -> list[Path]:
    found = []
    for each in Path(f"/proc/{process.popen.pid}/fd").iterdir():
        try:
            found.append(each.readlink())
        except FileNotFoundError:
            continue
    return found


class TestSigtermBeforeAProcessIsReady:
    @pytest.mark.parametrize("kind", ["relay", "worker"])
    @pytest.mark.parametrize("awaited", ["database", "broker"])
    def test_ends_one_that_waits(self, space: Workspace, mute: int, awaited: str, kind: str) -> None:
        ports = {"database": free_port(), "broker": free_port()} | {awaited: mute}
        process = start(space, kind, **ports)
        wait_connected(mute, process)
        assert terminate(process) == 0, process.tail
        assert f'"event": "{kind} stopped"' in process.tail
        assert "Traceback" not in process.tail

    def test_ends_a_web_process_whose_database_and_broker_do_not_answer(self, space: Workspace, mute: int) -> None:
        port = free_port()
        process = start(space, "web", "--bind", f"127.0.0.1:{port}", database=mute, broker=mute)

        def answers() -> bool:
            process.check()
            try:
                return httpx.get(f"http://127.0.0.1:{port}/livez", timeout=5, trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, what="the web process to answer", seconds=START_SECONDS)
        assert terminate(process) == 0, process.tail
        assert "Handling signal: term" in process.tail
        assert "Traceback" not in process.tail

    def test_ends_a_web_process_that_has_just_begun(self, space: Workspace, mute: int) -> None:
        process = start(space, "web", "--bind", f"127.0.0.1:{free_port()}", database=mute, broker=mute)
        process.wait_logged("Booting worker")
        assert terminate(process) == 0, process.tail
        assert "Handling signal: term" in process.tail
        assert "Traceback" not in process.tail
