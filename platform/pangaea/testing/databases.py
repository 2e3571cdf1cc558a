"""The databases of Django's tests: created for the run, migrated, and removed at its end with their roles."""

import io
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from psycopg import sql
from pytest_django import DjangoDbBlocker

from pangaea.addresses import sqlite
from pangaea.databases import aliases, entries
from pangaea.databases.grants import provisioning


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Every alias on the engine of `--engine`: one schema and role per alias in one database, or one file per alias."""
    with django_db_blocker.unblock():
        if request.config.getoption("--engine") == "sqlite":
            folder = tmp_path_factory.mktemp("databases")
            _build({alias: sqlite.url_of(folder / f"{alias}.sqlite3") for alias in aliases.installed()})
            yield
            _close()
            return
        with scratch_database(request.getfixturevalue("postgres_url")) as url:
            _build(dict.fromkeys(aliases.installed(), url), shared_url=url)
            yield
            _close()


@pytest.fixture
def postgresql_only(request: pytest.FixtureRequest) -> None:
    """Skip the test on another engine: only PostgreSQL has roles, and several writers at once."""
    if request.config.getoption("--engine") != "postgresql":
        pytest.skip("shows what only PostgreSQL does")


@contextmanager
def scratch_database(administrator_url: str, *, prefix: str = "pangaea_test", encoding: str = "UTF8") -> Iterator[str]:
    """Hold an empty PostgreSQL database; gives the URL of its owner, who may create roles and is no superuser.

    Its name is unique. The database, its owner and every role named after it are dropped at the end.
    """
    name = f"{prefix}_{secrets.token_hex(4)}"
    password = secrets.token_hex(16)
    address = urlsplit(administrator_url)
    with psycopg.connect(administrator_url, autocommit=True) as administrator:
        administrator.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD {}").format(sql.Identifier(name), sql.Literal(password))
        )
        administrator.execute(
            sql.SQL("CREATE DATABASE {0} OWNER {0} TEMPLATE template0 ENCODING {1} LOCALE 'C'").format(
                sql.Identifier(name), sql.Literal(encoding)
            )
        )
    try:
        location = address.netloc.rpartition("@")[2]
        quoted = quote(name, safe="")
        yield urlunsplit((address.scheme, f"{quoted}:{password}@{location}", f"/{quoted}", address.query, ""))
    finally:
        # A second connection: a test may have restarted the server.
        with psycopg.connect(administrator_url, autocommit=True) as administrator:
            administrator.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            drop_roles(administrator, name)


def drop_roles(administrator: "psycopg.Connection[Any]", prefix: str) -> None:
    """Drop all roles with this prefix. They must own nothing."""
    statement = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s) ORDER BY rolname DESC"
    for (role,) in administrator.execute(statement, [prefix]).fetchall():
        administrator.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def _build(urls: Mapping[str, str], *, shared_url: str = "") -> None:
    """Point Django's aliases at these URLs and migrate them."""
    databases = connections.configure_settings(entries.configure(urls, shared_url=shared_url))
    for alias, entry in databases.items():
        # Longer than the product's: many threads that connect at once on a busy machine are slow, not unreachable.
        if "connect_timeout" in entry["OPTIONS"]:
            entry["OPTIONS"]["connect_timeout"] = 30
        connections[alias].close()
        del connections[alias]
        connections.settings[alias].clear()
        connections.settings[alias].update(entry)
    provisioning.provision()
    call_command("migrate", interactive=False, verbosity=0, stdout=io.StringIO())


def _close() -> None:
    for connection in connections.all(initialized_only=True):
        connection.close()
