"""`make split`: the services of `deploy.split` as one command, until Ctrl-C.

PostgreSQL is the server in POSTGRES_URL (an administrator's URL), or one with temporary data from the development
wheels; RabbitMQ is the one in AMQP_URL (guest on this machine by default), where a virtual host is made for this run.
"""

import argparse
import fcntl
import os
import shlex
import signal
import socket
import sys
import threading
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import django
import psycopg

from deploy.split import HOST, ROOT, Ports, Program, Split, held
from pangaea import modules
from pangaea.management.welcome import welcome
from pangaea.servers import postgresql, rabbitmq
from pangaea.servers.errors import Unavailable
from pangaea.testing import wait_until

STATE = ROOT / ".local" / "split"
POSTGRES_URL_FORM = "postgres://user:password@host:5432/postgres"
START_SECONDS = 120.0
HIGHEST_PORT = 65535


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


@contextmanager
def database_server() -> Iterator[str]:
    """An administrator's URL: POSTGRES_URL (SystemExit if it is unusable), or a server with temporary data."""
    given = os.environ.get("POSTGRES_URL")
    if not given:
        with postgresql.server() as url:
            yield url
        return
    if urlsplit(given).scheme not in {"postgres", "postgresql"} or not urlsplit(given).hostname:
        sys.exit(f"POSTGRES_URL is malformed: set an administrator's URL like {POSTGRES_URL_FORM}.")
    try:
        psycopg.connect(given, connect_timeout=10).close()
    except psycopg.Error as error:
        sys.exit(
            f"POSTGRES_URL names no usable server: {error}\n"
            f"Set an administrator's URL like {POSTGRES_URL_FORM}, or unset it: then a temporary server is started."
        )
    yield given


@contextmanager
def broker() -> Iterator[str]:
    """This run's own virtual host on the server in AMQP_URL. Raises SystemExit if that is unusable."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(rabbitmq.virtual_host(os.environ.get("AMQP_URL", rabbitmq.DEFAULT_URL)))
        except Unavailable as reason:
            sys.exit(f"make split needs RabbitMQ: {reason}\nRemedy: {rabbitmq.REMEDY}, or set AMQP_URL.")
        yield url


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


def greet(split: Split) -> None:
    """Wait until the gateway has found every service ready, and print all addresses."""
    envoy = f"http://{HOST}:{split.ports.gateway_admin}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ready() -> bool:
        try:
            with opener.open(f"{envoy}/stats?filter=membership_healthy", timeout=5) as answer:
                healthy = dict(line.split(": ") for line in answer.read().decode().splitlines())
        except OSError:
            return False
        return all(healthy.get(f"cluster.{label}.membership_healthy", "0") != "0" for label in split.ports.web)

    try:
        wait_until(ready, what="the services behind the gateway", seconds=START_SECONDS)
    except AssertionError as error:
        print(f"\n{error} The processes' output is above.\n", flush=True)
        return
    url, plain = f"https://localhost:{split.ports.https}", f"http://localhost:{split.ports.http}"
    environment = os.path.relpath(split.environment_file("MODULE"))
    places = [
        ("Gateway", f"{url}   (its authority: {split.certificates / 'ca.crt'})"),
        ("", f"{plain}   (the same without TLS, on this machine alone)"),
        ("Operators", f"https://localhost:{split.ports.operators}/admin/<module>/   ({', '.join(split.ports.web)})"),
        ("", "the documents of a module's API are there too"),
        ("Envoy", f"{envoy}   (/clusters, /stats/prometheus)"),
        ("Commands", f".venv/bin/honcho -e {environment} run .venv/bin/python manage.py createsuperuser"),
        ("", "streams, deadletters, config show …: the same way"),
    ]
    print(welcome(places, plain), "\n  Ctrl-C stops all processes.\n", flush=True)


def run(programs: Sequence[Program], *, then: Callable[[], None]) -> int:
    """Run all of them until one ends or Ctrl-C; returns the exit status of the first that failed.

    `then` is called in a thread once they are started.
    """
    from honcho import manager as honcho  # a development requirement
    from honcho.printer import Printer

    # As long as a service may take to finish its in-flight work.
    honcho.KILL_WAIT = 40
    supervisor = honcho.Manager(Printer(sys.stdout, colour=sys.stdout.isatty()))
    for program in programs:
        supervisor.add_process(
            program.name,
            # honcho starts a shell, which must not keep the signals from the program.
            f"exec {shlex.join(program.command)}",
            env={**os.environ, "PYTHONUNBUFFERED": "1", **program.environment},
            cwd=str(ROOT),
        )
    threading.Thread(target=then, name="greeting", daemon=True).start()
    supervisor.loop()
    return int(supervisor.returncode or 0)


def main() -> int:
    """Prepare, run, and print all addresses. Ctrl-C stops it and counts as success."""
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
    wanted = (given.http, given.https, given.operators, given.admin, *web.values())
    if len(set(wanted)) < len(wanted) or max(wanted) > HIGHEST_PORT:
        parser.error(f"each listener needs its own port, up to {HIGHEST_PORT}: {', '.join(map(str, wanted))}")
    # Clean-up also happens on a signal before the process manager handles them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with ExitStack() as stack:
        stack.enter_context(alone(given.state))
        if taken := [port for port in wanted if not _is_free(port)]:
            sys.exit(
                f"Ports in use: {', '.join(map(str, taken))}. Stop their programs, or choose others: "
                'make split ARGS="--http=8180 --https=8543 --operators=8544 --admin=9902 --web=8201"'
            )
        broker_url = stack.enter_context(broker())
        administrator_url = stack.enter_context(database_server())
        print("Preparing certificates, databases, rights and the gateway ...", flush=True)
        prefix = prefix_of(given.state)
        split = stack.enter_context(
            held(given.state, administrator_url=administrator_url, broker_url=broker_url, prefix=prefix, ports=ports)
        )
        status = run(split.programs(), then=lambda: greet(split))
    return 0 if status == 128 + signal.SIGINT else status


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pangaea.settings.local")
    django.setup()
    try:
        sys.exit(main())
    except Unavailable as reason:
        sys.exit(f"make split cannot start: {reason}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
