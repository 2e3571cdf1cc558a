"""Sequences behind their tables, as after a restore of tables alone, or a failover to a logical replica."""

import secrets
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connections, transaction

from pangaea.inbox.models import Cursor
from pangaea.ops.models import Operator
from pangaea.outbox.models import OutboxMessage, Stream

ALIAS = "orders"

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("postgresql_only")]


def restart(table: str, *, alias: str = ALIAS, at: int = 1) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(f"ALTER SEQUENCE {table}_id_seq RESTART WITH {at}")


def message() -> OutboxMessage:
    return OutboxMessage.objects.using(ALIAS).create(
        message_id=uuid4(), audience="all", key="k", name="orders.x", body="{}"
    )


def restored_outbox() -> int:
    """Let the outbox have rows, and its sequence begin again. Returns the highest id."""
    highest = [message().pk for _ in range(3)][-1]
    restart("pangaea_outbox")
    return int(highest)


def checked(alias: str) -> str:
    with pytest.raises(CommandError) as failed:
        call_command("check", databases=[alias], stdout=StringIO(), stderr=StringIO())
    return str(failed.value)


class TestASequenceBehindItsTable:
    def test_is_named_by_check_and_by_streams(self) -> None:
        highest = restored_outbox()
        named = f"orders.pangaea_outbox_id_seq continues at 1, and orders.pangaea_outbox has an id of {highest}"
        text = checked(ALIAS)
        assert named in text
        assert "pangaea.E023" in text
        assert "manage.py migrate" in text
        with pytest.raises(CommandError, match=r"manage\.py migrate") as failed:
            call_command("streams", "--check", stdout=StringIO())
        assert named in str(failed.value)

    def test_is_named_for_the_operators_database(self) -> None:
        Operator.objects.create_user(username=secrets.token_hex(4))
        restart("ops_operator", alias=DEFAULT_DB_ALIAS)
        assert "ops.ops_operator_id_seq" in checked(DEFAULT_DB_ALIAS)

    def test_is_advanced_by_migrate(self) -> None:
        highest = restored_outbox()
        call_command("migrate", database=ALIAS, verbosity=0, stdout=StringIO())
        assert message().pk == highest + 1
        call_command("check", databases=[ALIAS], stdout=StringIO(), stderr=StringIO())

    def test_of_streams_leaves_none_missing_silently(self) -> None:
        stream = Stream.objects.using(ALIAS).create(audience="other", partition=0, partitions=8)
        restart("pangaea_stream", at=stream.pk)
        with pytest.raises(IntegrityError), transaction.atomic(using=ALIAS):
            Stream.provide(ALIAS, ["all"])

    def test_of_cursors_is_an_error_at_the_first_attempt(self) -> None:
        key = {"subscription": "orders.x", "source": "users", "audience": "all"}
        cursor = Cursor.objects.using(ALIAS).create(**key, partition=0)
        restart("pangaea_cursor", at=cursor.pk)
        with pytest.raises(IntegrityError), transaction.atomic(using=ALIAS):
            Cursor.provide(ALIAS, [Cursor(**key, partition=1)])


class TestASequenceThatIsNotBehind:
    def test_is_not_named_where_rows_were_deleted_or_none_exists(self) -> None:
        message().delete()
        restart("pangaea_dead_letter")
        call_command("check", databases=[ALIAS, DEFAULT_DB_ALIAS], stdout=StringIO(), stderr=StringIO())

    def test_is_not_set_back_by_migrate(self) -> None:
        last = message()
        last_id = last.pk
        last.delete()
        call_command("migrate", database=ALIAS, verbosity=0, stdout=StringIO())
        assert message().pk == last_id + 1
