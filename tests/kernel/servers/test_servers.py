import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from redis import Redis

from pangaea.servers import postgresql, rabbitmq, waiting
from pangaea.testing import free_port
from pangaea.testing.databases import scratch_database

OUTGOING = 32_768
"""The first port of outgoing connections on Linux."""
UNUSED_ADDRESS = "amqp://guest:guest@127.0.0.1:1//"


class TestAMissingServer:
    """In a pytest process of its own, with two tests that need RabbitMQ."""

    def test_skips_its_tests_and_prints_the_remedy_in_one_line(self, tmp_path: Path) -> None:
        code, output = run_pytest(tmp_path, CI="")
        assert code == pytest.ExitCode.OK, output
        (line,) = (line for line in output.splitlines() if line.startswith("SKIPPED 2 test(s): needs RabbitMQ"))
        assert "127.0.0.1:1" in line
        assert "apt-get install rabbitmq-server" in line
        assert "TEST_AMQP_URL" in line

    def test_fails_them_in_ci(self, tmp_path: Path) -> None:
        code, output = run_pytest(tmp_path, CI="true")
        assert code == pytest.ExitCode.TESTS_FAILED
        assert re.search(r"1 passed, 2 errors", output), output


class TestAFreePort:
    def test_is_given_once_and_to_no_outgoing_connection(self) -> None:
        ports = [free_port() for _ in range(500)]
        assert len(set(ports)) == len(ports)
        assert max(ports) < OUTGOING

    def test_is_none_on_which_a_process_listens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", free_port())) as listener:
            taken = int(listener.getsockname()[1])
            monkeypatch.setattr(waiting, "PORTS", range(taken, taken + 100))
            assert taken not in {free_port() for _ in range(50)}


class TestTheServersOfTheSession:
    def test_postgresql_requires_the_administrators_password(self, postgres_url: str) -> None:
        with psycopg.connect(postgres_url) as connection:
            rights = "SELECT rolcreaterole AND rolcreatedb FROM pg_roles WHERE rolname = current_user"
            assert connection.execute(rights).fetchone() == (True,)
            password = connection.info.password
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(postgres_url.replace(password, "wrong"))

    def test_a_scratch_database_leaves_nothing_behind(self, postgres_url: str) -> None:
        with scratch_database(postgres_url, prefix="pangaea_scratch") as url:
            with psycopg.connect(url, autocommit=True) as owner:
                name = owner.info.dbname
                owner.execute(f'CREATE ROLE "{name}_module"')
            with psycopg.connect(postgres_url) as administrator:
                assert named_like(administrator, name) == 3
        with psycopg.connect(postgres_url) as administrator:
            assert named_like(administrator, name) == 0

    def test_postgresql_keeps_its_data_through_a_restart_and_a_crash(self) -> None:
        with postgresql.held(**postgresql.DURABLE) as server:
            assert execute(server.url, "SHOW fsync") == execute(server.url, "SHOW synchronous_commit") == [("on",)]
            execute(server.url, "CREATE TABLE stored AS SELECT 1 AS number")
            server.stop()
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(server.url)
            server.start()
            execute(server.url, "INSERT INTO stored VALUES (2)")
            with psycopg.connect(server.url) as connection:
                server.crash()
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("SELECT 1")
            assert execute(server.url, "SELECT number FROM stored ORDER BY number") == [(1,), (2,)]

    def test_redis_answers(self, redis_url: str) -> None:
        with Redis.from_url(redis_url) as client:
            assert client.ping()

    def test_rabbitmq_gives_a_virtual_host_of_its_own(self, amqp_url: str) -> None:
        rabbitmq.check(amqp_url)
        assert urlsplit(amqp_url).path.strip("/")

    def test_a_free_port_is_free(self) -> None:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{free_port()}", trust_env=False)


def execute(url: str, statement: LiteralString) -> list[tuple[object, ...]]:
    """The rows that a statement returns, if any."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def run_pytest(folder: Path, **environment: str) -> tuple[int, str]:
    (folder / "test_it.py").write_text(
        "def test_one(amqp_url): ...\ndef test_two(amqp_url): ...\ndef test_three(): ...\n"
    )
    arguments = ["-p", "pangaea.testing", "-p", "no:django", "-p", "no:cacheprovider", "-q", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--rootdir", str(folder), "-c", os.devnull, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TEST_AMQP_URL": UNUSED_ADDRESS, **environment},
    )
    return done.returncode, done.stdout + done.stderr


def named_like(administrator: "psycopg.Connection[tuple[object, ...]]", name: str) -> int:
    """The number of databases and roles whose names begin with `name`."""
    row = administrator.execute(
        "SELECT (SELECT count(*) FROM pg_database WHERE starts_with(datname, %(name)s))"
        " + (SELECT count(*) FROM pg_roles WHERE starts_with(rolname, %(name)s))",
        {"name": name},
    ).fetchone()
    assert row is not None
    return int(str(row[0]))
