"""`make split`: one command, everything behind the gateway, and no process left once it is stopped."""

import os
import random
import re
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.__main__ import prefix_of
from deploy.split import ROOT
from pangaea.testing import free_port, wait_until
from tests.processes import workspace

pytestmark = pytest.mark.full
SECONDS = 120.0


def test_starts_with_one_command_and_stops_as_a_whole(postgres_url: str, amqp_url: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    command = (sys.executable, "-m", "deploy", *ports(state))
    servers = {"POSTGRES_URL": postgres_url, "AMQP_URL": amqp_url}
    authority = state / "certs" / "ca.crt"
    https = command[-2].partition("=")[2]
    with workspace(tmp_path) as space:
        split = space.start("split", command, servers)

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
        assert "Another `make split` runs in" in refusal(*command[:3], *ports(state), **servers)
        assert answers()
        os.kill(split.popen.pid, signal.SIGTERM)
        split.popen.wait(timeout=SECONDS)
        _, left = psutil.wait_procs(programs, timeout=10)
        assert left == []


class TestAnotherFolder:
    def test_has_names_of_its_own_at_the_servers(self, tmp_path: Path) -> None:
        """With the same names it would use the other's databases and change the passwords of its users."""
        one, other = prefix_of(tmp_path / "one"), prefix_of(tmp_path / "other")
        assert one != other
        assert prefix_of(tmp_path / "two" / ".." / "one") == one


class TestAnUnusableSetting:
    @pytest.mark.parametrize(
        ("variable", "value", "expected"),
        [
            (
                "AMQP_URL",
                "amqp://127.0.0.1:1//",
                "needs RabbitMQ: nothing usable answers at 127.0.0.1:1 .*apt-get install",
            ),
            ("AMQP_URL", "redis://127.0.0.1:6379/0", "needs RabbitMQ: its URL is malformed.*or set AMQP_URL"),
            (
                "POSTGRES_URL",
                "127.0.0.1/secret",
                "POSTGRES_URL is malformed: set an administrator's URL like postgres://",
            ),
            (
                "POSTGRES_URL",
                "postgres://me:secret@127.0.0.1:1/postgres",
                "names no usable server: .*refused",
            ),
        ],
    )
    def test_is_named_in_a_line_without_its_secrets(
        self, amqp_url: str, tmp_path: Path, variable: str, value: str, expected: str
    ) -> None:
        text = refusal(sys.executable, "-m", "deploy", *ports(tmp_path), **{"AMQP_URL": amqp_url, variable: value})
        assert re.search(expected, text, re.DOTALL), text
        assert "secret" not in text
        assert "Traceback" not in text

    def test_is_named_when_rabbitmq_refuses_the_account(self, amqp_url: str, tmp_path: Path) -> None:
        stranger = re.sub("//.*@", "//stranger:secret@", amqp_url)
        text = refusal(sys.executable, "-m", "deploy", *ports(tmp_path), AMQP_URL=stranger)
        assert re.search(r"needs RabbitMQ: nothing usable answers at .*ACCESS_REFUSED", text), text

    def test_is_named_when_two_ports_are_equal(self, tmp_path: Path) -> None:
        text = refusal(sys.executable, "-m", "deploy", f"--state={tmp_path}", "--http=8080", "--https=8080")
        assert "each listener needs its own port" in text


def ports(state: Path) -> list[str]:
    """Options for a separate run. The services' ports are consecutive, below the range of outgoing connections."""
    web = random.randrange(10_000, 30_000, 10)
    return [
        f"--state={state}",
        f"--web={web}",
        *(f"--{name}={free_port()}" for name in ("http", "operators", "https", "admin")),
    ]


def refusal(*command: str, **environment: str) -> str:
    """The standard error of a command that has to fail."""
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=SECONDS,
    )
    assert done.returncode, done.stdout
    return done.stderr
