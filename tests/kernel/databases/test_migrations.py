"""The kernel's migrations expand: processes of the version before go on while a new version is rolled out."""

import pytest
from django.db import migrations
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED

from pangaea.databases.aliases import KERNEL

FIRST = 7
"""Before it there was no version whose processes could be running."""


def added_fields() -> list[migrations.AddField]:
    loader = MigrationLoader(None)
    found = [each for (app, name), each in loader.disk_migrations.items() if app == KERNEL and int(name[:4]) >= FIRST]
    return [operation for each in found for operation in each.operations if isinstance(operation, migrations.AddField)]


@pytest.mark.parametrize("added", added_fields(), ids=lambda each: f"{each.model_name}.{each.name}")
def test_an_added_column_takes_rows_of_code_that_does_not_know_it(added: migrations.AddField) -> None:
    """Django sends its `default` with each row and keeps none in the table."""
    assert added.field.null or added.field.db_default is not NOT_PROVIDED
