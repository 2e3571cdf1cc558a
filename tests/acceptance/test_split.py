"""`make split` as it is typed: one command, everything behind the gateway, and nothing left when it is stopped."""

import os
import signal
import ssl
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from pangaea.testing import free_port, wait_until
from tests.processes import workspace

pytestmark = pytest.mark.full
SECONDS = 120.0


def test_starts_with_one_command_and_stops_as_a_whole(postgres_url: str, amqp_url: str, tmp_path: Path) -> None:
    ports = [f"--{name}={free_port()}" for name in ("http", "https", "admin")]
    command = (sys.executable, "-m", "deploy.split", f"--state={tmp_path / 'state'}", f"--web={free_port()}", *ports)
    authority = tmp_path / "state" / "certs" / "ca.crt"
    https = ports[1].partition("=")[2]
    with workspace(tmp_path) as space:
        split = space.start("split", command, {"POSTGRES_URL": postgres_url, "AMQP_URL": amqp_url})

        def answers() -> bool:
            split.check()
            if not authority.exists():
                return False
            trust = ssl.create_default_context(cafile=str(authority))
            try:
                found = httpx.get(f"https://127.0.0.1:{https}/bff/v1/home", verify=trust, trust_env=False)
            except httpx.TransportError:
                return False
            return found.status_code in {httpx.codes.OK, httpx.codes.UNAUTHORIZED}

        wait_until(answers, what="the services behind the gateway", seconds=SECONDS)
        programs = psutil.Process(split.popen.pid).children(recursive=True)
        assert len(programs) > 10
        os.kill(split.popen.pid, signal.SIGTERM)
        split.popen.wait(timeout=SECONDS)
        _, left = psutil.wait_procs(programs, timeout=10)
        assert left == []
