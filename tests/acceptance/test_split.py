"""`make split`: one command, everything behind the gateway, and no process left once it is stopped."""

import os
import random
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.__main__ import prefix_of
from deploy.split import ROOT
from deploy.supervisor import pid_file_of
from pangaea import modules
from pangaea.pages import start
from pangaea.testing import free_port, wait_until
from tests.acceptance.topologies import MODULES, PROCESSES
from tests.processes import Process, workspace

pytestmark = pytest.mark.full
SECONDS = 120.0


@dataclass(frozen=True)
class Running:
    """A `make split`, and its output so far."""

    process: Process
    command: Sequence[str]
    state: Path
    ports: Mapping[str, int]
    servers: Mapping[str, str]

    @property
    def output(self) -> str:
        return self.process.log.read_text()

    def wait_for(self, text: str, *, since: int = 0) -> None:
        self.process.wait_logged(text, since=since)

    def get(self, path: str, *, port: str = "https") -> httpx.Response:
        with self.browser(port) as browser:
            return browser.get(path)

    def browser(self, port: str = "https") -> httpx.Client:
        trust = ssl.create_default_context(cafile=str(self.state / "certs" / "ca.crt"))
        url = f"https://localhost:{self.ports[port]}"
        return httpx.Client(base_url=url, verify=trust, trust_env=False, timeout=30, follow_redirects=True)

    def pid(self, name: str) -> int:
        return int(pid_file_of(self.state, name).read_text())


@pytest.fixture(scope="module")
def split(postgres_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("split")
    state, servers = folder / "state", {"POSTGRES_URL": postgres_url, "AMQP_URL": amqp_url}
    options = ports(state)
    numbers = {name.removeprefix("--"): int(port) for name, _, port in (each.partition("=") for each in options[1:])}
    with workspace(folder) as space:
        process = space.start("split", (sys.executable, "-m", "deploy", *options), servers)
        running = Running(process, options, state, numbers, servers)

        def started() -> bool:
            process.check()
            return "Ctrl-C ends all" in running.output

        wait_until(started, what="all of it", seconds=SECONDS)
        yield running


class TestTheStart:
    def test_says_each_step_in_few_lines(self, split: Running) -> None:
        before, _, after = split.output.partition("Start page")
        for step in (
            "making a virtual host at RabbitMQ",
            "creating users at RabbitMQ",
            "creating certificates",
            "rendering the gateway's configuration",
            *(
                f"{label}: {step}"
                for label in MODULES
                for step in ("rights in PostgreSQL", "tables", "the demo's data")
            ),
            "starting the gateway",
            *(f"{label} is ready" for label in MODULES),
        ):
            assert step in before, step
        assert len(before.splitlines()) < 40
        assert len(after.splitlines()) < 40

    def test_leaves_no_other_run_in_the_same_folder(self, split: Running) -> None:
        command = (sys.executable, "-m", "deploy", *ports(split.state))
        assert "Another `make split` runs in" in refusal(*command, **split.servers)

    def test_keeps_the_output_of_each_process(self, split: Running) -> None:
        assert {file.stem for file in (split.state / "logs").iterdir()} == {
            "gateway",
            *(f"{label}.{process}" for label in MODULES for process in PROCESSES),
        }


class TestTheDemo:
    @pytest.mark.parametrize("label", MODULES)
    def test_has_an_operator_of_each_service(self, split: Running, label: str) -> None:
        with split.browser("operators") as browser:
            page = browser.get(f"/admin/{label}/login/")
            (token,) = set(re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text))
            form = {"csrfmiddlewaretoken": token, "username": start.OPERATOR, "password": start.PASSWORD}
            found = browser.post(page.url, data=form, headers={"Referer": str(page.url)})
        assert (found.status_code, found.url.path) == (200, f"/admin/{label}/")

    def test_has_customers_who_log_in(self, split: Running) -> None:
        accounts = modules.named("users").demo_log_ins
        assert accounts
        with split.browser() as browser:
            for email, password in accounts.items():
                answer = browser.post("/api/v1/tokens", json={"email": email, "password": password})
                assert answer.json()["access_token"]

    def test_is_on_the_start_page_of_every_listener(self, split: Running) -> None:
        for port in ("https", "operators"):
            found = split.get("/", port=port).json()
            names = {each["name"] for each in found["log_ins"]}
            assert names == {start.OPERATOR, *modules.named("users").demo_log_ins}


class TestAProcess:
    def test_that_is_killed_is_named_and_started_again(self, split: Running) -> None:
        since, others = len(split.output), split.pid("orders.web")
        os.kill(split.pid("users.web"), signal.SIGKILL)
        split.wait_for("users.web was ended by SIGKILL; started again in 1 s. The end of", since=since)
        split.wait_for("users.web is started again", since=since)
        wait_until(
            lambda: split.get("/.well-known/jwks.json").is_success, what="users to be ready again", seconds=SECONDS
        )
        assert split.pid("orders.web") == others

    def test_is_restarted_by_its_name(self, split: Running) -> None:
        since, before = len(split.output), split.pid("web_bff.worker")
        command = [sys.executable, "-m", "deploy.restart", f"--state={split.state}", "web_bff.worker"]
        subprocess.run(command, check=True, cwd=ROOT, timeout=SECONDS, capture_output=True)
        split.wait_for("web_bff.worker is started again", since=since)
        assert split.pid("web_bff.worker") != before


class TestTheEnd:
    def test_is_written_and_leaves_no_process(self, split: Running) -> None:
        """The last test of the module: it ends what the others use."""
        main = psutil.Process(split.process.popen.pid)
        programs = main.children(recursive=True)
        assert len(programs) > 10
        since = len(split.output)
        main.send_signal(signal.SIGINT)
        assert main.wait(timeout=SECONDS) == 0
        _, left = psutil.wait_procs(programs, timeout=10)
        assert left == []
        written = split.output[since:]
        assert "ending 10 processes; Ctrl-C again kills them" in written
        assert "deleting the users at RabbitMQ" in written
        assert "deleting the virtual host at RabbitMQ" in written
        assert written.endswith("ended\n")
        assert not list((split.state / "pids").iterdir())
        assert not list(split.state.glob("*.env"))


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
                "POSTGRES_URL is malformed: set a URL like postgres://.*an administrator's URL",
            ),
            ("POSTGRES_URL", "postgres://me:12/secret@127.0.0.1/postgres", "POSTGRES_URL has an @ after the first /"),
            ("AMQP_URL", "amqp://me:12/secret@127.0.0.1//", "needs RabbitMQ: its URL has an @ after the first /"),
            ("AMQP_URL", "amqp://guest:secret@127.0.0.1//?connection_timeout=5", "its URL has connection_timeout in"),
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

    def test_is_named_when_an_earlier_run_left_processes(self, tmp_path: Path) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as left:
            file = pid_file_of(tmp_path, "orders.web")
            file.parent.mkdir()
            file.write_text(f"{left.pid}\n")
            text = refusal(sys.executable, "-m", "deploy", *ports(tmp_path))
            left.kill()
        assert f"was killed, and left processes: orders.web {left.pid}. End them with `kill`" in text

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
