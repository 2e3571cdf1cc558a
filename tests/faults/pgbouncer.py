"""A PgBouncer of a test's own, from Debian's package, before a PostgreSQL database."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pangaea.testing import free_port, wait_until
from pangaea.testing.availability import unavailable

UNPRIVILEGED = "nobody"
"""The user that it runs as where the tests run as root: it refuses to run as root."""
CONFIGURATION = """\
[databases]
{databases}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 20
ignore_startup_parameters = options,extra_float_digits
server_reset_query = SELECT pg_advisory_unlock_all(); UNLISTEN *
"""
"""The default of `server_reset_query`, DISCARD ALL, would discard the search path as well."""
DATABASE = "{schema} = host={host} port={port} dbname={dbname} user={user} password={password}"
SEARCH_PATH = " connect_query='SET search_path={schema}'"


def program() -> str:
    """The path of PgBouncer; skips the test, or fails it in CI, where it is not installed."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not found:
        unavailable("PgBouncer", "it is not installed", remedy="install the Debian package pgbouncer")
    return found


@contextmanager
def before(
    database_url: str, schemas: Sequence[str], *, folder: Path, mode: str, query: str = SEARCH_PATH
) -> Iterator[dict[str, str]]:
    """Hold a pooler of that mode. Yields a URL through it for each schema, with that schema as the search path.

    It drops the options with which a connection starts. With an empty `query` the search path is the server's default.
    """
    executable, port = program(), free_port()
    address = {"port": "5432", **conninfo_to_dict(database_url)}
    databases = "\n".join((DATABASE + query).format(schema=schema, **address) for schema in schemas)
    path = folder / "pgbouncer.ini"
    path.write_text(CONFIGURATION.format(databases=databases, port=port, mode=mode))
    user = None
    if os.geteuid() == 0:
        user = UNPRIVILEGED
        shutil.chown(path, user)
    urls = {schema: f"postgresql://anybody@127.0.0.1:{port}/{schema}" for schema in schemas}
    # UNPRIVILEGED may not enter the folders above the file, so PgBouncer reads it from its input.
    with path.open() as configuration, (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(
            [executable, "/dev/stdin"], stdin=configuration, stdout=log, stderr=log, user=user, cwd="/"
        )
        try:
            wait_until(lambda: _answers(process, urls[schemas[0]], log=folder / "pgbouncer.log"), what="PgBouncer")
            yield urls
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(process: "subprocess.Popen[bytes]", url: str, *, log: Path) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"PgBouncer ended with {process.returncode}:\n{log.read_text()}")
    try:
        psycopg.connect(url, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True
