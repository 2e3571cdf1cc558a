import itertools

import psycopg
import pytest
from django.apps.registry import Apps
from django.db import DatabaseError, ProgrammingError, connections, models, transaction

from pangaea import databases
from pangaea.errors import Misuse
from pangaea.outbox.models import Stream

pytestmark = pytest.mark.django_db(databases="__all__")


class Stray(models.Model):
    """Belongs to an app that nobody installed."""

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
        for own, other in itertools.permutations(databases.aliases(), 2):
            with pytest.raises(ProgrammingError) as refusal:
                run(own, statement.format(schema=databases.schema_of(other)))
            assert isinstance(refusal.value.__cause__, psycopg.errors.InsufficientPrivilege), (own, other)

    @pytest.mark.usefixtures("postgresql_only")
    def test_sees_its_own_schema_alone(self) -> None:
        for alias in databases.aliases():
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT current_user, current_schemas(false)")
                assert cursor.fetchone() == (
                    f"{connections[alias].settings_dict['NAME']}_{databases.schema_of(alias)}",
                    [databases.schema_of(alias)],
                )

    def test_cannot_read_another_modules_table_on_any_engine(self) -> None:
        statement = "SELECT 1 FROM {schema}.django_migrations"
        for own, other in itertools.permutations(databases.aliases(), 2):
            with pytest.raises(DatabaseError, match=r"permission denied|no such table"):
                run(own, statement.format(schema=databases.schema_of(other)))


class TestTheRouter:
    def test_refuses_a_model_of_no_known_app(self) -> None:
        with pytest.raises(Misuse, match="nowhere"):
            Stray._default_manager.count()
        with pytest.raises(Misuse, match="nowhere"):
            Stray._default_manager.create(name="lost")

    def test_makes_no_table_for_it(self) -> None:
        router = databases.Router()
        assert not any(router.allow_migrate(alias, "nowhere") for alias in databases.aliases())

    def test_asks_which_module_is_meant_by_a_table_of_the_kernel(self) -> None:
        with pytest.raises(Misuse, match=r"using"):
            Stream.objects.count()
        with pytest.raises(Misuse, match=r"using"):
            Stream.objects.create(audience="all", partition=0, partitions=8)

    def test_keeps_the_kernels_tables_of_each_module_apart(self) -> None:
        first, *others = databases.aliases()[1:]
        before = {alias: Stream.objects.using(alias).count() for alias in others}
        Stream.objects.using(first).create(audience="test", partition=0, partitions=8)
        assert {alias: Stream.objects.using(alias).count() for alias in others} == before


def run(alias: str, statement: str) -> None:
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(statement)
