"""A database and a virtual host for one run, and the landscape's processes on them."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from joserfc.jwk import ECKey

from bench import servers
from pangaea.servers import rabbitmq
from pangaea.testing import wait_until
from pangaea.testing.databases import scratch_database
from tests.processes import MANAGE, Process, Workspace, workspace

SECONDS = 600.0


@dataclass
class Stage:
    """The landscape on one PostgreSQL database and one RabbitMQ virtual host."""

    workspace: Workspace
    database_url: str
    broker_url: str
    environment: Mapping[str, str]

    def start(self, *command: str) -> Process:
        """Start a command of manage.py in the background."""
        return self.workspace.start("-".join(command), (*MANAGE, *command), self.environment)

    def manage(self, *command: str) -> str:
        """Run a command of manage.py to its end."""
        return self.workspace.manage(*command, environment=self.environment)

    def connect(self) -> "psycopg.Connection[Any]":
        """A connection of the owner, outside every role."""
        return psycopg.connect(self.database_url, autocommit=True)

    def as_module(self, label: str) -> "psycopg.Connection[Any]":
        """A connection with a module's schema and role."""
        name = psycopg.conninfo.conninfo_to_dict(self.database_url)["dbname"]
        return psycopg.connect(
            self.database_url, autocommit=True, options=f"-c search_path={label} -c role={name}_{label}"
        )


@contextmanager
def stage(*modules: str, **settings: str) -> Iterator[Stage]:
    """Hold a stage with these modules of the landscape, migrated, nothing started."""
    with ExitStack() as stack:
        administrator = stack.enter_context(servers.administrator())
        database_url = stack.enter_context(scratch_database(administrator, prefix="pangaea_bench"))
        broker_url = stack.enter_context(rabbitmq.virtual_host(os.environ.get("TEST_AMQP_URL", rabbitmq.DEFAULT_URL)))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="pangaea-bench-")))
        space = stack.enter_context(workspace(folder))
        environment = {
            "DJANGO_SETTINGS_MODULE": "pangaea.settings.monolith",
            "PANGAEA_MODULES_PACKAGE": "tests.landscape",
            "PANGAEA_MODULES": ",".join(modules),
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ALLOWED_HOSTS": "127.0.0.1",
            "DATABASE_URL": database_url,
            "BROKER_URL": broker_url,
            "SIGNING_KEY": ECKey.generate_key("P-256").as_pem(private=True).decode(),
            "LOG_LEVEL": "WARNING",
            **settings,
        }
        held = Stage(space, database_url, broker_url, environment)
        held.manage("migrate", "--verbosity", "0")
        yield held


def until(connection: "psycopg.Connection[Any]", query: str, wanted: int, *, what: str) -> None:
    """Wait until the query returns at least the number."""

    def reached() -> bool:
        row = connection.execute(query).fetchone()
        return row is not None and row[0] is not None and row[0] >= wanted

    wait_until(reached, what=what, seconds=SECONDS)
