import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.models import F

from pangaea import outbox
from pangaea.change_capture import Capture
from pangaea.inbox.batches import decode
from pangaea.messages import Money
from pangaea.outbox.batches import Outgoing
from pangaea.outbox.models import OutboxMessage
from pangaea.outbox.relay import Relay
from pangaea.testing import published
from pangaea.wire import Envelope
from tests.kernel.capturing import FIELDS, SOURCE, Entry, Specimen, SpecimenChanged, captured_table, specimens
from tests.kernel.unreadable import deep, too_deep

pytestmark = pytest.mark.django_db(databases=[SOURCE], transaction=True)

EMPTY: dict[str, Any] = {
    **dict.fromkeys(["title", "count", "is_open", "token", "weight", "seen_at", "born_on", "extra", "price"]),
    "state": "placed",
    "level": "low",
}

SAMPLES: list[tuple[str, Any, Any]] = [
    ("title", "", ""),
    ("title", 'Zoë\'s "globe" \\ 地球 🌍 </script> %s %%', 'Zoë\'s "globe" \\ 地球 🌍 </script> %s %%'),
    ("title", "tab\t newline\n return\r bell\x07 escape\x1b delete\x7f", None),
    ("count", 0, 0),
    ("count", -(2**63), -(2**63)),
    ("count", 2**63 - 1, 2**63 - 1),
    ("is_open", True, True),
    ("is_open", False, False),
    ("token", UUID("0190ABCD-0000-7000-8000-00000000000F"), "0190abcd-0000-7000-8000-00000000000f"),
    ("weight", Decimal("1.5"), "1.500"),
    ("weight", Decimal("-0.001"), "-0.001"),
    ("weight", Decimal(0), "0.000"),
    ("weight", Decimal("123456789.123"), "123456789.123"),
    ("seen_at", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), "2030-01-02T03:04:05.000000Z"),
    ("seen_at", datetime(2030, 1, 2, 3, 4, 5, 60, tzinfo=UTC), "2030-01-02T03:04:05.000060Z"),
    ("seen_at", datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "1969-12-31T23:59:59.999999Z"),
    ("born_on", date(2028, 2, 29), "2028-02-29"),
    ("born_on", date(1, 1, 1), "0001-01-01"),
    ("extra", {"b": [1, 2.5, None, True], "a": {"é": "'"}}, {"b": [1, 2.5, None, True], "a": {"é": "'"}}),
    ("extra", "text", "text"),
    ("extra", False, False),
    ("state", "C", "cancelled"),
    ("state", "X", "X"),
    ("level", 2, "high"),
    ("level", 7, "7"),
]


@pytest.fixture(autouse=True)
def _table() -> Iterator[None]:
    with captured_table():
        yield


def add(code: str = "A", **values: Any) -> Specimen:
    return Specimen.objects.create(code=code, **values)


def payloads() -> list[dict[str, Any]]:
    return [message.payload for message in published(SOURCE)]


def ops() -> list[tuple[str, str]]:
    """The operations and their keys, in order."""
    return [(message.payload["op"], message.key) for message in published(SOURCE)]


def run(statement: str, *parameters: Any) -> None:
    with connections[SOURCE].cursor() as cursor:
        cursor.execute(statement, parameters)


class TestValues:
    @pytest.mark.parametrize(("column", "stored", "expected"), SAMPLES)
    def test_are_published_alike_by_every_engine(self, column: str, stored: Any, expected: Any) -> None:
        add(**{column: stored})
        [payload] = payloads()
        assert payload == {
            "op": "create",
            "before": None,
            "after": {"code": "A", **EMPTY, column: stored if expected is None else expected},
        }

    def test_of_two_columns_are_one_amount(self) -> None:
        add(price_amount=1_999, price_currency="EUR")
        assert payloads()[0]["after"]["price"] == {"amount": 1_999, "currency": "EUR"}

    def test_are_what_the_message_class_declares(self) -> None:
        add(token=UUID(int=7), weight=Decimal("2.5"), born_on=date(2030, 1, 1), price_amount=5, price_currency="EUR")
        body = OutboxMessage.objects.using(SOURCE).get().body
        message = msgspec.json.decode(msgspec.json.decode(body, type=Envelope).data, type=SpecimenChanged)
        assert message.before is None
        assert isinstance(message.after, Entry)
        assert (message.after.token, message.after.weight) == (UUID(int=7), Decimal("2.500"))
        assert (message.after.born_on, message.after.price) == (date(2030, 1, 1), Money(5, "EUR"))

    def test_leave_out_what_is_not_declared(self) -> None:
        add(secret="hush")
        assert "hush" not in OutboxMessage.objects.using(SOURCE).get().body


class TestRowThatNobodyCanRead:
    @pytest.mark.parametrize(
        "extra", ['"half of a pair: \\ud800"', deep(max(960, too_deep()))], ids=["surrogate", "deep"]
    )
    def test_is_the_problem_of_its_key_alone(self, extra: str) -> None:
        add("A")
        try:
            run("UPDATE orders_specimen SET extra = %s", extra)
        except DatabaseError as error:
            pytest.skip(f"the database takes no such row itself: {str(error).splitlines()[0]}")
        add("B")
        batches: list[Outgoing] = []
        relay = Relay(SOURCE, batches.extend)
        while relay.step():
            pass
        places = [place for batch in batches for place in decode(batch.body)[1]]
        assert sorted((place.key, bool(place.problem)) for place in places) == [("A", False), ("A", True), ("B", False)]


class TestEnvelope:
    def test_is_the_one_that_publish_writes(self) -> None:
        add('Key "1" ä')
        row = OutboxMessage.objects.using(SOURCE).get()
        before = datetime.now(UTC)
        envelope = msgspec.json.decode(row.body, type=Envelope)
        assert (row.message_id, row.key, row.name, row.audience) == (
            envelope.id,
            'Key "1" ä',
            "orders.specimen_changed",
            "all",
        )
        assert envelope.subject == row.key
        assert (envelope.source, envelope.type, envelope.schemaversion) == ("orders", row.name, 3)
        assert abs((before - envelope.time).total_seconds()) < 60
        assert abs((before - row.created_at).total_seconds()) < 60
        assert row.position is None
        event = SpecimenChanged(op="delete", before=None, after=None)
        with transaction.atomic(using=SOURCE):
            outbox.publish(event, key="b")
        ours, theirs = (msgspec.json.decode(each.body) for each in OutboxMessage.objects.using(SOURCE).order_by("id"))
        assert list(ours) == list(theirs)

    def test_has_an_id_of_its_own_for_each_row_and_a_correlation_for_each_statement(self) -> None:
        Specimen.objects.bulk_create(Specimen(code=str(number)) for number in range(5))
        messages = published(SOURCE)
        assert len({message.id for message in messages}) == 5
        assert {message.id.version for message in messages} == {4}
        assert all(message.correlation_id for message in messages)


class TestChanges:
    def test_by_the_orm_have_before_and_after(self) -> None:
        specimen = add(title="old", count=1)
        specimen.title = "new"
        specimen.save()
        specimen.delete()
        old, new = ({"code": "A", **EMPTY, "title": title, "count": 1} for title in ("old", "new"))
        assert payloads() == [
            {"op": "create", "before": None, "after": old},
            {"op": "update", "before": old, "after": new},
            {"op": "delete", "before": new, "after": None},
        ]

    def test_in_bulk_are_one_message_per_row(self) -> None:
        Specimen.objects.bulk_create(Specimen(code=f"{number:03}", count=number) for number in range(100))
        Specimen.objects.filter(count__gte=50).update(count=F("count") + 1)
        Specimen.objects.filter(count__lt=10).delete()
        codes = [f"{number:03}" for number in range(100)]
        assert sorted(ops()[:100]) == [("create", code) for code in codes]
        assert sorted(ops()[100:150]) == [("update", code) for code in codes[50:]]
        assert sorted(ops()[150:]) == [("delete", code) for code in codes[:10]]
        assert payloads()[100]["after"]["count"] == payloads()[100]["before"]["count"] + 1

    def test_of_more_keys_than_there_are_locks_for_are_captured_too(self) -> None:
        Specimen.objects.bulk_create(Specimen(code=str(number)) for number in range(1_200))
        Specimen.objects.update(count=1)
        assert [op for op, _ in ops()] == ["create"] * 1_200 + ["update"] * 1_200

    def test_by_hand_are_captured(self) -> None:
        run("INSERT INTO orders_specimen (code, state, level, secret) VALUES ('A', 'P', 1, '')")
        run("UPDATE orders_specimen SET title = 'by hand'")
        run("DELETE FROM orders_specimen")
        assert ops() == [("create", "A"), ("update", "A"), ("delete", "A")]

    def test_by_an_upsert_are_captured(self) -> None:
        upsert = (
            "INSERT INTO orders_specimen (code, title, state, level, secret) VALUES ('A', %s, 'P', 1, '') "
            "ON CONFLICT (code) DO UPDATE SET title = excluded.title"
        )
        for title in ("old", "new", "new"):
            run(upsert, title)
        assert ops() == [("create", "A"), ("update", "A")]

    def test_by_replacing_a_row_are_captured(self) -> None:
        if connections[SOURCE].vendor != "sqlite":
            pytest.skip("INSERT OR REPLACE is SQLite's")
        for _ in range(2):
            run("INSERT OR REPLACE INTO orders_specimen (code, state, level, secret) VALUES ('A', 'P', 1, '')")
        assert ops() == [("create", "A"), ("delete", "A"), ("create", "A")]

    def test_that_are_rolled_back_publish_nothing(self) -> None:
        with transaction.atomic(using=SOURCE):
            add()
            transaction.set_rollback(True, using=SOURCE)
        assert ops() == []

    def test_of_undeclared_columns_publish_nothing(self) -> None:
        add()
        Specimen.objects.update(secret="other")
        Specimen.objects.update(title=F("title"))
        Specimen.objects.filter(code="nothing").update(title="x")
        Specimen.objects.filter(code="nothing").delete()
        assert ops() == [("create", "A")]

    def test_of_the_key_are_a_deletion_and_a_creation(self) -> None:
        add(title="same")
        Specimen.objects.update(code="B")
        assert ops() == [("create", "A"), ("delete", "A"), ("create", "B")]
        assert payloads()[1]["after"] is payloads()[2]["before"] is None

    def test_to_nothing_and_back_are_changes(self) -> None:
        add(count=0)
        Specimen.objects.update(count=None)
        Specimen.objects.update(count=0)
        assert [(each["before"] or {}).get("count", "-") for each in payloads()] == ["-", 0, None]


class TestARowTooLargeToBeSent:
    def test_fails_in_its_writers_transaction(self) -> None:
        add("a")
        with pytest.raises(IntegrityError, match="body_takes_a_mebibyte_at_most"), transaction.atomic(using=SOURCE):
            Specimen.objects.using(SOURCE).filter(pk="a").update(title="x" * 17 * 1024 * 1024)
        assert OutboxMessage.objects.using(SOURCE).count() == 1


class TestTruncate:
    @pytest.mark.usefixtures("postgresql_only")
    def test_is_refused(self) -> None:
        add()
        with pytest.raises(DatabaseError, match="Use DELETE"):
            run("TRUNCATE orders_specimen")
        assert Specimen.objects.count() == 1

    @pytest.mark.usefixtures("postgresql_only")
    def test_is_possible_where_the_history_goes_along(self) -> None:
        add()
        run("TRUNCATE orders_specimen, pangaea_outbox")
        assert (Specimen.objects.count(), ops()) == (0, [])


class TestDeclaration:
    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"key": "nothing"}, "has no field 'nothing'"),
            ({"key": "count"}, "cannot be a key: that is"),
            ({"key": "title"}, "cannot be a key: that is"),
            ({"key": "secret"}, "limit max_length"),
            ({"fields": {"code": "code"}}, "differ in: born_on, count"),
            ({"change": ("weight", "count")}, r"Entry\.weight is declared as"),
            ({"change": ("state", "title")}, r"Entry\.state is declared as"),
            ({"change": ("price", "count")}, r"Entry\.price is declared as"),
        ],
    )
    def test_names_each_mismatch(self, changes: dict[str, Any], problem: str) -> None:
        arguments: dict[str, Any] = {"key": "code", "yields": SpecimenChanged, "fields": dict(FIELDS), **changes}
        if change := arguments.pop("change", None):
            arguments["fields"] |= dict([change])
        found = list(Capture(Specimen, **arguments).problems())
        assert any(re.search(problem, each) for each in found), found

    def test_is_right_for_what_these_tests_capture(self) -> None:
        assert list(specimens.problems()) == []
