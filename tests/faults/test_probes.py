"""Relays and workers answer probes over HTTP: real processes on real servers."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from pangaea.testing import free_port, wait_until
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape
from tests.processes import Process

pytestmark = pytest.mark.full

ASKING = 200
THREADS_AT_MOST = 20


def probe(port: int, path: str) -> tuple[int, Any]:
    """The status and the document; the status is 0 while the port does not answer."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=15, trust_env=False)
    except httpx.TransportError:
        return 0, None
    return answer.status_code, answer.json()


def states(document: Any) -> dict[str, str]:
    """The state of each component in a probe's document."""
    return {name: component["state"] for name, component in document["components"].items()}


def start(land: Landscape, kind: str, **settings: str) -> tuple[Process, int]:
    port = free_port()
    settings["HEALTH_PORT"] = str(port)
    return (land.relay(**settings) if kind == "relay" else land.worker("ledger", **settings)), port


def wait_probe(process: Process, port: int, path: str, status: int) -> Any:
    def answers() -> Any:
        process.check()
        found, document = probe(port, path)
        return document if found == status else None

    return wait_until(answers, what=f"{path} of {process.name} to answer {status}", seconds=HEALING_SECONDS)


@pytest.fixture
def land(postgres_url: str, amqp_url: str, tmp_path: Path) -> Iterator[Landscape]:
    with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url) as held:
        yield held


@pytest.mark.parametrize(("kind", "part", "at"), [("relay", "source", "leading"), ("worker", "queues", "consuming")])
class TestTheProbesOfAProcessWithoutAnApi:
    def test_all_pass_while_it_works(self, land: Landscape, kind: str, part: str, at: str) -> None:
        process, port = start(land, kind)
        ready = wait_probe(process, port, "/readyz", 200)
        assert states(ready) == {part: at}
        assert ready["checks"]["topology"] == ready["checks"]["disk"] == "ok"
        status, alive = probe(port, "/livez")
        assert (status, alive["status"], states(alive)) == (200, "alive", {part: at})
        assert probe(port, "/startupz") == (200, {"status": "started"})
        assert probe(port, "/metrics")[0] == 404

    def test_distinguish_a_process_that_waits_from_one_that_hangs(
        self, land: Landscape, kind: str, part: str, at: str
    ) -> None:
        nowhere = f"amqp://guest:guest@127.0.0.1:{free_port()}//"
        process, port = start(land, kind, BROKER_URL=nowhere)
        waiting = wait_probe(process, port, "/readyz", 503)
        assert waiting["checks"]["broker"] == "failing"
        assert waiting["checks"]["topology"] == "unknown"
        assert probe(port, "/startupz")[0] == 503
        assert probe(port, "/livez")[0] == 200
        assert part in states(waiting)
        assert at not in states(waiting).values()

    def test_need_a_port_of_their_own(self, land: Landscape, kind: str, part: str, at: str) -> None:
        del part, at
        first, port = start(land, kind)
        wait_probe(first, port, "/livez", 200)
        second = land.relay("-second", HEALTH_PORT=str(port))
        assert second.popen.wait(timeout=HEALING_SECONDS) != 0
        assert "HEALTH_PORT" in second.tail


class TestReadinessThatTakesSeconds:
    def test_is_checked_once_for_concurrent_requests_and_delays_no_liveness(self, land: Landscape) -> None:
        with ExitStack() as stack:
            # Accepts, and never answers.
            broker = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
            url = f"amqp://guest:guest@127.0.0.1:{broker.getsockname()[1]}//"
            process, port = start(land, "worker", BROKER_URL=url)
            wait_probe(process, port, "/livez", 200)
            asking = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(ASKING)]
            for each in asking:
                each.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert probe(port, "/livez")[0] == 200
            threads = len(list(Path(f"/proc/{process.popen.pid}/task").iterdir()))
            assert threads <= THREADS_AT_MOST
            asking[-1].settimeout(HEALING_SECONDS)
            assert asking[-1].recv(100).startswith(b"HTTP/1.0 503")
