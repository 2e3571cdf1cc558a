import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
from django.apps.registry import Apps
from django.db import DatabaseError, ProgrammingError, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from pangaea.databases import aliases
from pangaea.databases.engines.postgresql import direct
from pangaea.databases.router import Router
from pangaea.errors import Misuse
from pangaea.outbox.models import Stream

pytestmark = pytest.mark.django_db(databases="__all__")


class Stray(models.Model):
    """A model of an app that is not installed."""

    name = models.CharField(max_length=10)

    class Meta:
        app_label = "nowhere"
        apps = Apps()

    def __str__(self) -> str:
        return self.name


class TestTheRoleOfAModule:
    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT 1 FROM {schema}.pangaea_outbox",
            "DELETE FROM {schema}.pangaea_outbox",
            "CREATE TABLE {schema}.squatter (id int)",
            "SELECT 1 FROM {schema}.django_migrations",
        ],
    )
    @pytest.mark.usefixtures("postgresql_only")
    def test_is_denied_what_belongs_to_another_module(self, statement: str) -> None:
        for own, other in itertools.permutations(aliases.installed(), 2):
            with pytest.raises(ProgrammingError) as refusal:
                run(own, statement.format(schema=aliases.schema_of(other)))
            assert isinstance(refusal.value.__cause__, psycopg.errors.InsufficientPrivilege), (own, other)

    @pytest.mark.usefixtures("postgresql_only")
    def test_sees_its_own_schema_alone(self) -> None:
        for alias in aliases.installed():
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT current_user, current_schemas(false)")
                assert cursor.fetchone() == (
                    f"{connections[alias].settings_dict['NAME']}_{aliases.schema_of(alias)}",
                    [aliases.schema_of(alias)],
                )

    def test_cannot_read_another_modules_table_on_any_engine(self) -> None:
        statement = "SELECT 1 FROM {schema}.django_migrations"
        for own, other in itertools.permutations(aliases.installed(), 2):
            with pytest.raises(DatabaseError, match=r"permission denied|no such table"):
                run(own, statement.format(schema=aliases.schema_of(other)))


class TestTheRouter:
    def test_refuses_a_model_of_no_known_app(self) -> None:
        with pytest.raises(Misuse, match="nowhere"):
            Stray._default_manager.count()
        with pytest.raises(Misuse, match="nowhere"):
            Stray._default_manager.create(name="lost")

    def test_creates_no_table_for_it(self) -> None:
        router = Router()
        assert not any(router.allow_migrate(alias, "nowhere") for alias in aliases.installed())

    def test_requires_the_module_of_a_table_of_the_kernel(self) -> None:
        with pytest.raises(Misuse, match=r"using"):
            Stream.objects.count()
        with pytest.raises(Misuse, match=r"using"):
            Stream.objects.create(audience="all", partition=0, partitions=8)

    def test_keeps_the_kernels_tables_of_each_module_apart(self) -> None:
        first, *others = aliases.installed()[1:]
        before = {alias: Stream.objects.using(alias).count() for alias in others}
        Stream.objects.using(first).create(audience="test", partition=0, partitions=8)
        assert {alias: Stream.objects.using(alias).count() for alias in others} == before


def run(alias: str, statement: str) -> None:
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(statement)


@contextmanager
def transaction_on(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """A transaction on a connection that is not Django's for an alias."""
    connection.set_autocommit(False)
    yield
    connection.rollback()


class TestASession:
    @pytest.fixture
    def default_isolation(self, postgresql_only: None) -> Iterator[None]:
        """Let the server have another default isolation level for all logins."""
        name = connections["orders"].settings_dict["NAME"]
        with direct.connect("orders", as_role=False) as administrator:
            administrator.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
            yield
            administrator.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")

    @pytest.mark.usefixtures("default_isolation")
    def test_is_read_committed_whatever_the_servers_default(self) -> None:
        with direct.connect("orders") as connection:
            assert connection.execute("SHOW transaction_isolation").fetchone() == ("read committed",)
        with direct.connect("orders", as_role=False) as connection:
            assert connection.execute("SHOW transaction_isolation").fetchone() == ("serializable",)

    @pytest.mark.usefixtures("postgresql_only")
    def test_is_read_committed_where_a_pooler_lends_a_session_with_another_default(self) -> None:
        pooled = connections["orders"].copy()
        with closing(pooled), pooled.cursor() as cursor:
            cursor.execute("SET default_transaction_isolation = 'serializable'")
            with transaction_on(pooled):
                cursor.execute("SHOW transaction_isolation")
                assert cursor.fetchone() == ("read committed",)

    def test_ends_long_statements_only_in_web_relay_and_worker(self) -> None:
        program = (
            "import django; django.setup()\n"
            "from django.db import connections\n"
            "before = connections.settings['orders']['OPTIONS']['options']\n"
            "import pangaea.wsgi\n"
            "print('statement_timeout=' in before, connections.settings['orders']['OPTIONS']['options'])"
        )
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "pangaea.settings.monolith",
            "DATABASE_URL": "postgres://u:p@127.0.0.1/shop",
            "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz-0123456789abcdef",
            "ALLOWED_HOSTS": "localhost",
            "BROKER_URL": "amqp://guest:guest@127.0.0.1//",
            "JWKS_URL": "https://localhost/jwks.json",
            "DATABASE_STATEMENT_TIMEOUT": "12",
            "DATABASE_LOCK_TIMEOUT": "3",
        }
        printed = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
        ).stdout
        assert printed.startswith("False ")
        assert "-c statement_timeout=12000 -c lock_timeout=3000" in printed
