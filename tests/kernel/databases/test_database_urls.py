"""A database's URL is in force on every connection that the kernel opens, on Django's and on its own."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import psycopg
import pytest
from django.core.management import call_command
from django.db import OperationalError, connections
from psycopg import sql
from pytest_django import DjangoDbBlocker

from pangaea.addresses import postgresql
from pangaea.configuration.reading import declared
from pangaea.databases import entries
from pangaea.databases.engines.postgresql import direct, notifier, sessions
from pangaea.databases.engines.postgresql import entry as postgresql_entry
from pangaea.databases.engines.postgresql.client import DatabaseClient
from pangaea.databases.engines.postgresql.relay_session import open_relay_session
from pangaea.databases.grants import provisioning
from pangaea.servers.postgresql import held
from pangaea.testing import free_port
from pangaea.testing.databases import scratch_database

ALIAS = "orders"

pytestmark = pytest.mark.usefixtures("postgresql_only")


NAMES = {"an ordinary name": "pangaea_test", "a name that needs quotes": 'My "o\'shop" é\\ 50% a&b?c#d/e@f:g'}


@pytest.fixture(scope="module", params=list(NAMES.values()), ids=list(NAMES))
def url(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[str]:
    """The URL of a database with the module's schema alone, on one server."""
    with scratch_database(postgres_url, prefix=request.param) as found:
        yield found


@pytest.fixture(autouse=True)
def unblocked(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


@contextmanager
def on(url: str, *, direct_url: str = "", answer_timeout: timedelta = entries.ANSWER_TIMEOUT) -> Iterator[None]:
    """The module's connections, by this DATABASE_URL and DIRECT_DATABASE_URL."""
    urls = {"default": url, ALIAS: url}
    direct_urls = dict.fromkeys(urls, direct_url) if direct_url else None
    found = connections.configure_settings(
        entries.configure(urls, shared_url=url, direct_urls=direct_urls, answer_timeout=answer_timeout)
    )
    former = connections.settings[ALIAS]
    connections[ALIAS].close()
    del connections[ALIAS]
    connections.settings[ALIAS] = found[ALIAS]
    try:
        provisioning.provision([ALIAS])
        yield
    finally:
        notifier.close()
        connections[ALIAS].close()
        del connections[ALIAS]
        connections.settings[ALIAS] = former


def by_django(statement: str) -> Any:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def by_own(connect: Callable[[str], "psycopg.Connection[Any]"]) -> Callable[[str], Any]:
    def value(statement: str) -> Any:
        with closing(connect(ALIAS)) as connection:
            return connection.execute(statement).fetchall()[0][0]

    return value


the_logins = by_own(lambda alias: direct.connect(alias, as_role=False))
WAYS = {
    "Django's": by_django,
    "its own": by_own(direct.connect),
    "the login's": the_logins,
    "a session that holds a lock": by_own(sessions.open_session),
}


def shell(statement: str) -> None:
    call_command("dbshell", "--database", ALIAS, "--", "--no-psqlrc", "-Atc", statement)


def with_hosts(url: str, *hosts: str, query: str = "") -> str:
    """The URL with these hosts instead."""
    address = urlsplit(url)
    login = address.netloc.rpartition("@")[0]
    return f"{address.scheme}://{login}@{','.join(hosts)}{address.path}{query}"


def host_of(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def database_of(url: str) -> str:
    return unquote(urlsplit(url).path[1:])


class TestSeveralHosts:
    @pytest.fixture
    def hosts(self, url: str) -> Iterator[str]:
        """The URL with a first host that does not answer."""
        found = with_hosts(url, f"127.0.0.1:{free_port()}", host_of(url))
        with on(found):
            yield found

    @pytest.mark.parametrize("way", WAYS)
    def test_are_tried_until_one_answers(self, hosts: str, way: str) -> None:
        assert WAYS[way]("SELECT current_database()") == database_of(hosts)

    @pytest.mark.usefixtures("hosts")
    def test_are_tried_for_the_lead_and_the_wake_up(self) -> None:
        session = open_relay_session(ALIAS)
        try:
            assert session.election.lead()
            session.wakeup.listen()
            notifier.wake(ALIAS)
            assert session.wakeup.wait(10)
        finally:
            session.close()

    def test_are_tried_for_a_shell(self, hosts: str, capfd: pytest.CaptureFixture[str]) -> None:
        shell("SELECT current_database()")
        assert database_of(hosts) in capfd.readouterr().out

    @pytest.mark.full
    def test_are_tried_until_one_writes(self, url: str, capfd: pytest.CaptureFixture[str]) -> None:
        login = postgresql.parse(url)
        with held(default_transaction_read_only="on") as standby:
            with psycopg.connect(standby.url, autocommit=True, options="-c default_transaction_read_only=off") as there:
                name, password = sql.Identifier(login.user), sql.Literal(login.password)
                there.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD {}").format(name, password))
                there.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(login.database), name))
                role = sql.Identifier(postgresql.role_of(login.database, ALIAS))
                there.execute(sql.SQL("CREATE ROLE {} ROLE {}").format(role, name))
            with on(with_hosts(url, host_of(standby.url), host_of(url), query="?target_session_attrs=read-write")):
                for way in WAYS.values():
                    assert str(way("SELECT inet_server_port()")) == host_of(url).rpartition(":")[2]
                shell("SELECT 'port', inet_server_port()")
            assert f"port|{host_of(url).rpartition(':')[2]}" in capfd.readouterr().out


class TestTheServersOptions:
    QUERY = "?options=-c%20statement_timeout%3D5000%20-c%20work_mem%3D3MB"

    def test_are_in_force_beside_the_kernels(self, url: str) -> None:
        with on(url + self.QUERY):
            for name, value in WAYS.items():
                assert (value("SHOW statement_timeout"), value("SHOW work_mem")) == ("5s", "3MB"), name
                if value is not the_logins:
                    assert value("SHOW default_transaction_isolation") == "read committed"
                    assert value("SELECT current_schema()") == "orders"
                    assert value("SELECT current_user") == f"{database_of(url)}_orders"

    def test_go_before_the_limits_of_web_relay_and_worker(self, url: str) -> None:
        with on(url + self.QUERY):
            statement, lock = timedelta(seconds=30), timedelta(seconds=10)
            postgresql_entry.limit_waits(connections.settings[ALIAS], statement=statement, lock=lock)
            assert (by_django("SHOW statement_timeout"), by_django("SHOW lock_timeout")) == ("5s", "10s")

    def test_of_a_direct_url_are_in_force_past_the_pooler_alone(self, url: str) -> None:
        with on(url, direct_url=url + self.QUERY):
            assert by_django("SHOW statement_timeout") == "0"
            value = by_own(direct.connect)
            assert (value("SHOW statement_timeout"), value("SELECT current_schema()")) == ("5s", "orders")

    def test_of_a_pooled_url_do_not_reach_the_direct_one(self, url: str) -> None:
        with on(f"{url}?application_name=pooled", direct_url=url):
            assert by_django("SHOW application_name") == "pooled"
            assert by_own(direct.connect)("SHOW application_name") == ""


class TestTheTimeoutsOfTheSettings:
    def test_may_be_as_long_as_they_are_accepted(self, url: str) -> None:
        names = ("DATABASE_STATEMENT_TIMEOUT", "DATABASE_LOCK_TIMEOUT")
        own = declared({"DATABASE_ANSWER_TIMEOUT": "12h", "JOB_TIME_LIMIT": "25d", **dict.fromkeys(names, "24d")})
        with on(url, answer_timeout=own.database_answer_timeout):
            limits = {"statement": own.database_statement_timeout, "lock": own.database_lock_timeout}
            postgresql_entry.limit_waits(connections.settings[ALIAS], **limits)
            for value in (by_django, by_own(direct.connect)):
                assert (value("SHOW lock_timeout"), value("SHOW tcp_keepalives_idle")) == ("24d", "21600")


class TestAPassword:
    def test_is_in_no_argument_of_a_shell(self) -> None:
        entry = entries.configure({"default": "postgres://u:hunter2@127.0.0.1/d?sslpassword=hunter3"})["default"]
        arguments, environment = DatabaseClient.settings_to_cmd_args_env(entry, [])
        assert "hunter" not in " ".join(arguments)
        assert environment == {"PGPASSWORD": "hunter2"}

    def test_is_in_no_error_of_a_connection(self, url: str) -> None:
        address = urlsplit(url)
        password = quote("s3cret/with#all?of:it@50%", safe="")
        text = f"{address.scheme}://{address.username}:{password}@{host_of(url)}{address.path}"
        with pytest.raises(OperationalError, match="password authentication failed") as refused, on(text):
            pass
        assert "s3cret" not in str(refused.value)
