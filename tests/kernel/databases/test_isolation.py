"""A connection that is not what its module's settings ask for is refused, before anything is read or written by it."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from copy import deepcopy
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend
from django.test import Client
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pangaea.databases import errors
from pangaea.databases.engines.postgresql import direct, sessions
from pangaea.health import readiness
from pangaea.testing.databases import scratch_database

ALIAS = "orders"

pytestmark = pytest.mark.usefixtures("postgresql_only")

# A transaction of a test would keep the alias's connection open.
MEMBERSHIPS = "UPDATE pg_auth_members SET inherit_option = {value} WHERE member = '{login}'::regrole"

WITHOUT_TRANSACTION = pytest.mark.django_db(databases="__all__", transaction=True)


def role() -> str:
    return str(connections[ALIAS].settings_dict["PANGAEA"]["role"])


def with_options(options: str) -> BaseDatabaseWrapper:
    """A connection of the module that starts with these options, as behind a pooler that drops the others."""
    settings = deepcopy(connections[ALIAS].settings_dict)
    settings["OPTIONS"]["options"] = options
    wrapper: BaseDatabaseWrapper = load_backend(settings["ENGINE"]).DatabaseWrapper(settings, ALIAS)
    return wrapper


def refusal(options: str) -> str:
    with closing(with_options(options)) as connection:
        with pytest.raises(OperationalError) as refused:
            connection.ensure_connection()
        assert connection.connection is None
        assert errors.kind_of(refused.value) is errors.Kind.UNAVAILABLE
        return str(refused.value)


@contextmanager
def changed(statement: str, reset: str) -> Iterator[None]:
    name = connections[ALIAS].settings_dict["NAME"]
    with direct.connect(ALIAS, as_role=False) as owner:
        owner.execute(statement.format(name))
        try:
            yield
        finally:
            owner.execute(reset.format(name))


@pytest.mark.django_db(databases="__all__")
class TestAConnection:
    def test_is_refused_where_a_pooler_drops_its_options(self) -> None:
        text = refusal("")
        name = connections[ALIAS].settings_dict["NAME"]
        assert f"'{ALIAS}'" in text
        assert "search_path is '\"$user\", public' instead of 'orders'" in text
        assert f"role is '{name}' instead of '{role()}'" in text
        assert "connect_query" in text

    def test_is_refused_in_another_modules_schema(self) -> None:
        text = refusal(f"-c search_path=users -c role={role()}")
        assert "search_path is 'users' instead of 'orders'" in text
        assert "role is" not in text

    def test_is_refused_with_another_modules_role(self) -> None:
        other = connections["users"].settings_dict["PANGAEA"]["role"]
        text = refusal(f"-c search_path=orders -c role={other}")
        assert f"role is '{other}' instead of '{role()}'" in text

    @pytest.mark.parametrize(
        ("name", "value"), [("default_transaction_isolation", "serializable"), ("standard_conforming_strings", "off")]
    )
    def test_is_refused_with_another_default_of_the_server(self, name: str, value: str) -> None:
        with changed(f"ALTER DATABASE {{}} SET {name} = '{value}'", f"ALTER DATABASE {{}} RESET {name}"):
            text = refusal(f"-c search_path=orders -c role={role()}")
            assert f"{name} is '{value}' instead of" in text
            with closing(connections[ALIAS].copy()) as own:  # its own options precede
                own.ensure_connection()

    def test_is_refused_while_triggers_do_not_fire(self, postgres_url: str) -> None:
        name = connections[ALIAS].settings_dict["NAME"]
        with psycopg.connect(postgres_url, autocommit=True) as administrator:
            administrator.execute(f"ALTER DATABASE {name} SET session_replication_role = replica".encode())
            try:
                assert "session_replication_role is 'replica' instead of 'origin'" in refusal(
                    f"-c search_path=orders -c role={role()}"
                )
            finally:
                administrator.execute(f"ALTER DATABASE {name} RESET session_replication_role".encode())

    def test_is_refused_as_a_login_without_the_rights_of_the_schemas_owner(self) -> None:
        connection = with_options("-c search_path=orders")
        connection.settings_dict["PANGAEA"]["role"] = ""
        other = connections["users"].settings_dict["PANGAEA"]["role"]
        connection.settings_dict["OPTIONS"]["options"] += f" -c role={other}"
        with (
            closing(connection),
            pytest.raises(OperationalError, match=rf"belongs to '{role()}', and the role '{other}'"),
        ):
            connection.ensure_connection()

    def test_of_a_relay_is_refused_alike(self) -> None:
        entry = connections[ALIAS].settings_dict
        options, entry["OPTIONS"]["options"] = entry["OPTIONS"]["options"], ""
        try:
            with pytest.raises(OperationalError, match="search_path is"):
                sessions.open_session(ALIAS)
        finally:
            entry["OPTIONS"]["options"] = options


@contextmanager
def elsewhere(**changes: Any) -> Iterator[None]:
    """The module's alias leads to another database inside the block."""
    connection = connections[ALIAS]
    connection.close()
    before = deepcopy(connection.settings_dict)
    connection.settings_dict |= changes
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict |= before


@pytest.fixture
def encoded(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[str]:
    """The module's database has another encoding, and nothing in it. Gives the URL of its owner."""
    request.getfixturevalue("postgresql_only")
    with scratch_database(postgres_url, encoding=getattr(request, "param", "LATIN1")) as url:
        address = conninfo_to_dict(url)
        own = connections[ALIAS].settings_dict["PANGAEA"] | {"role": f"{address['dbname']}_orders"}
        options = connections[ALIAS].settings_dict["OPTIONS"] | {"options": "-c search_path=orders"}
        with elsewhere(
            NAME=address["dbname"], USER=address["user"], PASSWORD=address["password"], PANGAEA=own, OPTIONS=options
        ):
            yield url


@WITHOUT_TRANSACTION
class TestADatabaseThatIsNotUTF8:
    @pytest.mark.parametrize("encoded", ["SQL_ASCII", "LATIN1"], indirect=True)
    def test_is_refused_by_migrate_before_it_writes(self, encoded: str) -> None:
        with pytest.raises(CommandError, match=r"'orders' .* encoding (SQL_ASCII|LATIN1), .* UTF8.*TEMPLATE template0"):
            call_command("migrate", database=ALIAS, verbosity=0, stdout=StringIO())
        with psycopg.connect(encoded) as connection:
            found = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'orders%'").fetchall()
            roles = connection.execute(
                "SELECT rolname FROM pg_roles WHERE rolname LIKE current_database() || '%'"
            ).fetchall()
        assert found == []
        assert len(roles) == 1

    @pytest.mark.usefixtures("encoded")
    def test_makes_the_process_unready(self, caplog: pytest.LogCaptureFixture) -> None:
        response = Client().get("/readyz")
        assert response.status_code == 503
        assert response.json()["checks"]["database"][ALIAS] == "failing"
        with caplog.at_level(logging.WARNING):
            assert not readiness.Readiness().check()[0]
        assert "TEMPLATE template0" in caplog.text

    @pytest.mark.usefixtures("encoded")
    def test_is_named_by_check(self) -> None:
        with pytest.raises(CommandError, match=r"pangaea.E022.*encoding"):
            call_command("check", databases=[ALIAS], stdout=StringIO(), stderr=StringIO())


@WITHOUT_TRANSACTION
class TestMigrate:
    def test_writes_nothing_where_a_pooler_drops_its_options(self, postgres_url: str) -> None:
        with scratch_database(postgres_url) as url:
            address = conninfo_to_dict(url)
            own = connections[ALIAS].settings_dict["PANGAEA"] | {"role": ""}
            options = connections[ALIAS].settings_dict["OPTIONS"] | {"options": ""}
            with (
                elsewhere(
                    NAME=address["dbname"],
                    USER=address["user"],
                    PASSWORD=address["password"],
                    PANGAEA=own,
                    OPTIONS=options,
                ),
                pytest.raises(CommandError, match="search_path is"),
            ):
                call_command("migrate", database=ALIAS, verbosity=0, stdout=StringIO())
            with psycopg.connect(url) as connection:
                assert connection.execute(
                    "SELECT count(*) FROM pg_tables WHERE tableowner = current_user"
                ).fetchone() == (0,)
                assert not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'orders'").fetchall()

    def test_accepts_a_login_that_has_rights_only_as_the_role(self, postgres_url: str) -> None:
        """Such is the authenticator of PostgREST."""
        login = connections[ALIAS].settings_dict["USER"]
        # From 16 on each membership has its own option.
        statements = {False: "ALTER ROLE {login} {no}INHERIT", True: MEMBERSHIPS}
        with psycopg.connect(postgres_url, autocommit=True) as administrator:
            statement = statements[administrator.info.server_version >= 160000]
            administrator.execute(statement.format(login=login, no="NO", value="false").encode())
            try:
                call_command("migrate", database=ALIAS, verbosity=0, stdout=StringIO())
            finally:
                administrator.execute(statement.format(login=login, no="", value="true").encode())

    def test_names_the_foreign_owner_of_a_schema(self, postgres_url: str) -> None:
        url = make_conninfo(postgres_url, dbname=connections[ALIAS].settings_dict["NAME"])
        with psycopg.connect(url, autocommit=True) as administrator:
            administrator.execute("ALTER SCHEMA orders OWNER TO CURRENT_USER")
            try:
                connections[ALIAS].close()
                with pytest.raises(
                    OperationalError, match=rf"schema orders .* belongs to 'postgres', and the role '{role()}'"
                ):
                    connections[ALIAS].ensure_connection()
            finally:
                administrator.execute(f"ALTER SCHEMA orders OWNER TO {role()}".encode())
