"""The kernel's migrations expand: processes of the version before continue while a new version is rolled out."""

import io
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connections, migrations
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED

from pangaea.databases.aliases import KERNEL
from pangaea.messages import ALL
from pangaea.outbox.models import OutboxMessage, Stream
from pangaea.outbox.relay import partition_of
from tests.kernel.pipeline import SOURCE, say

FIRST = 7
"""The number of the first migration that was deployed over a running version."""


def added_fields() -> list[migrations.AddField]:
    loader = MigrationLoader(None)
    found = [each for (app, name), each in loader.disk_migrations.items() if app == KERNEL and int(name[:4]) >= FIRST]
    return [operation for each in found for operation in each.operations if isinstance(operation, migrations.AddField)]


@pytest.mark.parametrize("added", added_fields(), ids=lambda each: f"{each.model_name}.{each.name}")
def test_an_added_column_takes_rows_of_code_that_does_not_know_it(added: migrations.AddField) -> None:
    """Django sends a field's `default` with each row; the table itself has none."""
    assert added.field.null or added.field.db_default is not NOT_PROVIDED


def constraints(alias: str) -> set[str]:
    with connections[alias].cursor() as cursor:
        return set(connections[alias].introspection.get_constraints(cursor, OutboxMessage._meta.db_table))


@pytest.mark.django_db(databases=[SOURCE], transaction=True)
class TestSequence:
    NAMES = {"pangaea_outbox_position_once", "pangaea_outbox_sequenced_whole", "pangaea_outbox_unsequenced"}

    @pytest.fixture(autouse=True)
    def _migrated(self) -> Iterator[None]:
        yield
        migrate()

    def test_can_be_reversed(self) -> None:
        before = constraints(SOURCE)
        assert before >= self.NAMES
        migrate("0014")
        assert not constraints(SOURCE) & self.NAMES
        migrate()
        assert constraints(SOURCE) == before

    @pytest.mark.usefixtures("postgresql_only")
    def test_leaves_the_function_of_the_version_before(self) -> None:
        Stream.provide(SOURCE, [ALL])
        say("a", 1, 2)
        rows = OutboxMessage.objects.using(SOURCE).order_by("id")
        for function, row in zip(("pangaea_place", "pangaea_sequence"), rows, strict=True):
            with connections[SOURCE].cursor() as cursor:
                cursor.execute(f"SELECT {function}(%s::bigint[], %s::smallint[])", [[row.pk], [partition_of("a")]])
        assert list(rows.values_list("position", flat=True)) == [1, 2]


def migrate(*name: str) -> None:
    call_command("migrate", KERNEL, *name, database=SOURCE, interactive=False, verbosity=0, stdout=io.StringIO())
