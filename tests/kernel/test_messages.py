from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

import msgspec
import pytest

from pangaea import messages, wire
from pangaea.ids import uuid7
from pangaea.messages import Command, Event, Money
from pangaea.wire import Batch, Envelope

NOON = datetime(2030, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)


class Sold(Event, frozen=True, kw_only=True):
    wire_name: ClassVar[str] = "shop.sold"
    item: UUID
    at: datetime
    price: Money
    weight: Decimal


class Sell(Command, frozen=True, kw_only=True):
    wire_name: ClassVar[str] = "shop.sell"


class SaleNoticed(Event, frozen=True, kw_only=True):
    """A subscriber's own class, with the fields that it needs."""

    wire_name: ClassVar[str] = "shop.sold"
    price: Money


SALE = Sold(item=UUID(int=7), at=NOON, price=Money(1999, "EUR"), weight=Decimal("0.10"))


def envelope(**changes: object) -> Envelope:
    fields: dict[str, object] = {
        "id": UUID(int=1),
        "source": "shop",
        "type": "shop.sold",
        "subject": "key",
        "time": NOON,
        "schemaversion": 1,
        "correlationid": "c",
        "data": msgspec.Raw(msgspec.json.encode(SALE)),
    }
    return Envelope(**fields | changes)  # type: ignore[arg-type] # a test's shorthand


class TestAMessage:
    def test_is_decoded_as_it_was_published(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(SALE), type=Sold) == SALE

    def test_is_plain_json_that_other_languages_read(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(SALE)) == {
            "item": "00000000-0000-0000-0000-000000000007",
            "at": "2030-01-02T12:00:00.123456Z",
            "price": {"amount": 1999, "currency": "EUR"},
            "weight": "0.10",
        }

    def test_is_read_by_a_subscriber_that_needs_fewer_fields(self) -> None:
        heard = msgspec.json.decode(msgspec.json.encode(SALE), type=SaleNoticed)
        assert heard.price == Money(1999, "EUR")

    def test_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            SALE.price = Money(1, "EUR")  # type: ignore[misc] # that is the point

    def test_is_for_all_modules_if_it_is_an_event(self) -> None:
        assert messages.audience_of(SALE) == "all"

    def test_is_for_the_module_that_it_names_if_it_is_a_command(self) -> None:
        assert messages.audience_of(Sell()) == "shop"


class TestAWireName:
    @pytest.mark.parametrize("name", ["shop.sold", "web_bff.home2_seen", "a.b"])
    def test_consists_of_a_module_and_a_name(self, name: str) -> None:
        messages.check_wire_name(name)
        assert messages.module_of(name) == name.split(".", maxsplit=1)[0]

    @pytest.mark.parametrize(
        "name",
        ["", "shop", "shop.", ".sold", "Shop.sold", "shop.Sold", "shop.sold.twice", "shop sold", "shop.sold\n", "2.b"],
    )
    def test_has_no_other_form(self, name: str) -> None:
        with pytest.raises(ValueError, match="is no wire name"):
            messages.check_wire_name(name)


class TestAnEnvelope:
    def test_is_a_cloud_event(self) -> None:
        read = msgspec.json.decode(msgspec.json.encode(envelope()))
        assert read.pop("data")["weight"] == "0.10"
        assert read == {
            "specversion": "1.0",
            "id": "00000000-0000-0000-0000-000000000001",
            "source": "shop",
            "type": "shop.sold",
            "subject": "key",
            "time": "2030-01-02T12:00:00.123456Z",
            "datacontenttype": "application/json",
            "schemaversion": 1,
            "correlationid": "c",
        }

    def test_keeps_its_data_as_the_bytes_that_were_sent(self) -> None:
        data = b'{ "item" : 1.0, "later": [] }'
        wire = msgspec.json.encode(envelope(data=msgspec.Raw(data)))
        assert bytes(msgspec.json.decode(wire, type=Envelope).data) == data

    @pytest.mark.parametrize("field", ["id", "type", "subject", "data"])
    def test_is_refused_without_its_parts(self, field: str) -> None:
        parts = msgspec.json.decode(msgspec.json.encode(envelope()))
        del parts[field]
        with pytest.raises(msgspec.ValidationError, match=field):
            msgspec.json.decode(msgspec.json.encode(parts), type=Envelope)


class TestABatch:
    header = Batch(source="shop", audience="all", partition=3, first=5, before=uuid7(), head=9)

    def packed(self, *bodies: bytes, key: str = "a") -> bytes:
        return self.header.pack((UUID(int=number), key, body) for number, body in enumerate(bodies))

    @pytest.mark.parametrize(
        "bodies",
        [
            (b'{"a": 1}', b'{"b":2.50}'),
            (b"", b"no json", b'"'),
            (b'{"messages":[', b',"messages":[1]}', b"]}"),
            (b"\xff\xfe", b'"\\ud800"'),
            (b"[" * 100_000, b"1"),
        ],
        ids=["json", "no json", "looks like a batch", "no text", "deep"],
    )
    def test_is_decoded_as_it_was_sent_whatever_its_messages_are(self, bodies: tuple[bytes, ...]) -> None:
        read = Batch.unpack(self.packed(*bodies))
        assert tuple(bytes(body) for body in read.messages) == bodies
        assert (read.first, read.last, read.before, read.head) == (5, 4 + len(bodies), self.header.before, 9)
        assert [(entry.id, entry.key) for entry in read.entries or ()] == [
            (UUID(int=number), "a") for number in range(len(bodies))
        ]
        assert read.partitions == wire.PARTITIONS

    def test_without_messages_announces_the_position_before_its_first(self) -> None:
        assert Batch.unpack(self.packed()).last == 4

    def test_is_decoded_when_keys_look_like_its_messages(self) -> None:
        key = '"],"messages":[,"messages":['
        read = Batch.unpack(self.packed(b"1", key=key))
        assert [entry.key for entry in read.entries or ()] == [key]

    def test_is_one_json_object_to_the_previous_version(self) -> None:
        read = msgspec.json.decode(self.packed(b'{"a": 1}', b'{"b":2.50}'), type=Batch)
        assert [bytes(body) for body in read.messages] == [b'{"a": 1}', b'{"b":2.50}']

    def test_of_the_previous_version_is_read(self) -> None:
        parts = msgspec.json.decode(msgspec.json.encode(self.header))
        del parts["entries"], parts["question"]
        read = Batch.unpack(msgspec.json.encode(parts | {"messages": [{"a": 1}, 2]}))
        assert [bytes(body) for body in read.messages] == [b'{"a":1}', b"2"]
        assert (read.entries, read.question) == (None, None)

    @pytest.mark.parametrize("length", [-1, 0, 7, 9, 10**9])
    def test_with_lengths_that_do_not_add_up_is_refused(self, length: int) -> None:
        body = self.packed(b'{"a": 1}').replace(b',8]],"messages"', b',%d]],"messages"' % length)
        with pytest.raises(msgspec.DecodeError, match="add up"):
            Batch.unpack(body)

    def test_ignores_fields_that_a_later_kernel_adds(self) -> None:
        parts = {"compression": "none"} | msgspec.json.decode(self.packed())
        assert Batch.unpack(msgspec.json.encode(parts)).first == 5
