"""A test's own RabbitMQ node, with its own name, ports, cookie, plug-ins and data, beside the machine's server."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pangaea.broker.management_api import Management
from pangaea.errors import Misconfigured
from pangaea.servers import rabbitmq
from pangaea.servers.errors import Unavailable
from pangaea.testing import free_port, wait_until
from pangaea.testing.availability import unavailable

HOST = "127.0.0.1"
NAME = "pangaea@localhost"
START_SECONDS, STOP_SECONDS = 90.0, 60.0
SCRIPTS = ("/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin")
"""The folder of the server's own scripts. Debian's /usr/sbin has wrappers for the machine's single server."""


class Node:
    """A node that any account may start. It keeps its data when it is stopped and started again."""

    def __init__(self, folder: Path, *, management: bool = False, certificate: Path | None = None) -> None:
        """With a `certificate`, whose key and `ca.crt` are beside it, it serves TLS too, at further ports.

        Raises Unavailable where RabbitMQ is not installed.
        """
        self._script = _program("rabbitmq-server")
        self._epmd = _program("epmd")
        self._folder = folder
        port, self._names_port = _port_with_management(), free_port()
        self.url = f"amqp://guest:guest@{HOST}:{port}//"
        self.management = rabbitmq.management_url(self.url) if management else None
        """The administrator's URL of its management API, if it has one."""
        settings = {
            "listeners.tcp.1": f"{HOST}:{port}",
            "log.console.level": "warning",
            "max_message_size": "16777216",  # the default of RabbitMQ 4; that of 3 is eight times as large
        }
        self.secured_url = self.secured_management = None
        if certificate is not None:
            amqps, https = free_port(), free_port()
            files = {"certfile": certificate, "keyfile": certificate.with_suffix(".key")}
            # At every loopback address, of which the certificate names only some.
            settings["listeners.ssl.1"] = f"0.0.0.0:{amqps}"
            settings |= {f"ssl_options.{name}": str(path) for name, path in files.items()}
            settings["ssl_options.cacertfile"] = str(certificate.with_name("ca.crt"))
            self.secured_url = f"amqps://guest:guest@{HOST}:{amqps}//"
            if management:
                settings |= {"management.ssl.ip": "0.0.0.0", "management.ssl.port": str(https)}  # noqa: S104 - as above
                settings |= {f"management.ssl.{name}": str(path) for name, path in files.items()}
                self.secured_management = f"https://guest:guest@{HOST}:{https}"
        if management:
            settings |= {"management.tcp.ip": HOST, "management.tcp.port": f"{port + rabbitmq.MANAGEMENT_OFFSET}"}
        (folder / "plugins").write_text("[rabbitmq_management].\n" if management else "[].\n")
        (folder / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        self._names = self._spawn(self._epmd, "-port", str(self._names_port), "-address", HOST)
        self._node: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the node; returns when it answers."""
        node = self._node = self._spawn(self._script)
        wait_until(lambda: self._answers(node), what="RabbitMQ", seconds=START_SECONDS)

    def restart(self) -> None:
        self.stop()
        self.start()

    def crash(self) -> None:
        """Kill the node, and start it with the data on its disk."""
        if self._node is not None:
            os.killpg(self._node.pid, signal.SIGKILL)
            self._node.wait(timeout=STOP_SECONDS)
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Pause the node until the end of the block; its connections stay open."""
        node = self._node
        assert node is not None, "it was not started"
        os.killpg(node.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(node.pid, signal.SIGCONT)

    def control(self, *command: str) -> None:
        """Run a command of rabbitmqctl on the node."""
        program = [_program("rabbitmqctl"), "--node", NAME, *command]
        done = subprocess.run(program, env=self._environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        """Stop the node; its data stays."""
        if self._node is not None:
            _end(self._node)

    def close(self) -> None:
        """Stop the node and all its helpers."""
        self.stop()
        _end(self._names)

    def _spawn(self, *command: str) -> "subprocess.Popen[bytes]":
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, env=self._environment(), start_new_session=True
            )

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": folder,  # the cookie is created there
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_NODENAME": NAME,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the node, instead of a shell that waits for it
        }

    def _answers(self, node: "subprocess.Popen[bytes]") -> bool:
        if node.poll() is not None:
            log = (self._folder / "log").read_text(errors="replace")[-2_000:]
            raise Unavailable(f"RabbitMQ stopped at its start: {log}")
        try:
            rabbitmq.check(self.url)
            if self.management:
                Management(self.management).call("GET", "whoami")
        except (Unavailable, Misconfigured):
            return False
        return True


@contextmanager
def held(folder: Path, *, management: bool = False, certificate: Path | None = None) -> Iterator[Node]:
    """Hold a running node. Raises Unavailable where RabbitMQ is not installed."""
    node = Node(folder, management=management, certificate=certificate)
    try:
        node.start()
        yield node
    finally:
        node.close()


@contextmanager
def for_a_test(folder: Path, *, management: bool = False, certificate: Path | None = None) -> Iterator[Node]:
    """As `held`, for a fixture: without an installed RabbitMQ the test is skipped, in CI it fails."""
    try:
        with held(folder, management=management, certificate=certificate) as node:
            yield node
    except Unavailable as reason:
        unavailable("RabbitMQ's programs", str(reason), remedy="install them (Debian: apt-get install rabbitmq-server)")


def _port_with_management() -> int:
    """A free port whose management port by RabbitMQ's convention is free, too."""
    while True:
        port = free_port() - rabbitmq.MANAGEMENT_OFFSET
        with socket.socket() as probe, suppress(OSError, OverflowError):
            probe.bind((HOST, port))
            return port


def _program(name: str) -> str:
    path = os.pathsep.join([*SCRIPTS, os.environ.get("PATH", os.defpath), "/usr/lib/erlang/bin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise Unavailable(f"{name} is not installed")
    return found


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=STOP_SECONDS)
