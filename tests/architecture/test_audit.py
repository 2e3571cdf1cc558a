"""`.ci/audit`, with a stand-in for OSV: a vulnerability fails it, and an OSV that cannot be asked is reported."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from pangaea.testing import free_port
from tests.processes import ROOT

pytestmark = pytest.mark.full

PINNED = "sound==1.0 --hash=sha256:{0}\nholed==2.0 --hash=sha256:{0}\n".format("0" * 64)
VULNERABLE = {
    "id": "GHSA-0000",
    "affected": [{"package": {"name": "holed", "ecosystem": "PyPI"}, "ranges": []}],
}

Audit = Callable[..., "subprocess.CompletedProcess[str]"]


class OSV(HTTPServer):
    """Answers each question by the package's name."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.found: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    server: OSV

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = query["package"]["name"]
        self.server.asked.append((name, query["version"]))
        found = self.server.found.get(name)
        body = json.dumps({"vulns": found} if found else {}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log nothing."""


@pytest.fixture
def osv() -> Iterator[OSV]:
    with OSV() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    def run(port: int, *, pinned: str = PINNED) -> "subprocess.CompletedProcess[str]":
        requirements = tmp_path / "requirements.txt"
        requirements.write_text(pinned)
        return subprocess.run(
            [ROOT / ".ci" / "audit", requirements],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "OSV_URL": f"http://127.0.0.1:{port}/v1/query"},
        )

    return run


class TestTheAudit:
    def test_asks_about_each_pinned_version(self, osv: OSV, audit: Audit) -> None:
        done = audit(osv.server_port)
        assert done.returncode == 0, done.stderr
        assert sorted(osv.asked) == [("holed", "2.0"), ("sound", "1.0")]
        assert done.stdout.startswith("audited: ")

    def test_fails_for_a_known_vulnerability(self, osv: OSV, audit: Audit) -> None:
        osv.found["holed"] = [VULNERABLE]
        done = audit(osv.server_port)
        assert done.returncode == 1
        assert "GHSA-0000" in done.stdout

    @pytest.mark.parametrize("status", [404, 500, 503])
    def test_reports_that_osv_answers_with_an_error(self, osv: OSV, audit: Audit, status: int) -> None:
        osv.status = status
        done = audit(osv.server_port)
        assert done.returncode == 0
        assert done.stdout.startswith("NOT AUDITED: ")

    def test_reports_that_osv_cannot_be_reached(self, audit: Audit) -> None:
        done = audit(free_port())
        assert done.returncode == 0
        assert done.stdout.startswith("NOT AUDITED: ")
        assert len(done.stdout.splitlines()) == 1

    def test_fails_for_what_is_not_pinned(self, osv: OSV, audit: Audit) -> None:
        done = audit(osv.server_port, pinned="holed>=2.0\n")
        assert done.returncode == 1
        assert "NOT AUDITED" not in done.stdout
