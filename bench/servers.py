"""The PostgreSQL that is measured: as durable as in production, unless the run asks for a volatile one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import psycopg

from pangaea.servers import postgresql

volatile = False
"""Whether the server that a run starts may lose what it committed (`--volatile`)."""
measured = ""
"""A description of the last scenario's server."""


@contextmanager
def administrator() -> Iterator[str]:
    """Hold a server: the one of TEST_POSTGRES_URL, else this run's own. Yields its administrator's URL."""
    global measured  # noqa: PLW0603 - the tables' titles name it
    url = os.environ.get("TEST_POSTGRES_URL")
    server = nullcontext(url) if url else postgresql.server(**({} if volatile else postgresql.DURABLE))
    with server as administrator_url:
        measured = _described(administrator_url, "TEST_POSTGRES_URL" if url else "a server of this run")
        yield administrator_url


def _described(url: str, whose: str) -> str:
    names = ("server_version", "fsync", "synchronous_commit")
    with psycopg.connect(url) as connection:
        rows = [connection.execute("SELECT current_setting(%s)", [name]).fetchone() for name in names]
    version, fsync, commit = (row[0] for row in rows if row)
    return f"PostgreSQL {version.split()[0]} ({whose}), fsync {fsync}, synchronous_commit {commit}"
