"""Which entries of a queue on Redis are passed to kombu, and which unacknowledged ones it may restore."""

import json
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection

from pangaea.broker import admission, celery_app, redis_transport
from pangaea.errors import RefusedMessage

EXCHANGE, TAG = "streams", "the consumer's tag"
NAMES = ["body", "content-type", "content-encoding", "headers", "properties", "task", "id", "delivery_info", "exchange"]
anything: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(NAMES), each, max_size=4),
)


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "body": "e30=",
        "content-type": admission.CONTENT_TYPE,
        "content-encoding": admission.CONTENT_ENCODING,
        "headers": {"task": admission.DELIVER, "id": str(uuid4()), "timelimit": [1]},
        "properties": {
            "delivery_info": {"exchange": EXCHANGE, "routing_key": "users.all.7"},
            "body_encoding": "base64",
            "delivery_tag": "the sender's",
            "priority": "x",
        },
    } | changes


def read(value: Any) -> dict[str, Any]:
    return redis_transport.read_entry(json.dumps(value).encode(), EXCHANGE, TAG)


class TestRead:
    def test_returns_checked_members_only(self) -> None:
        valid = entry()
        assert read(valid | {"more": [1]}) == {
            **valid,
            "headers": {name: valid["headers"][name] for name in ("task", "id")},
            "properties": {
                "delivery_info": {"exchange": EXCHANGE, "routing_key": "users.all.7"},
                "body_encoding": "base64",
                "delivery_tag": TAG,
                "priority": 0,
            },
        }

    @pytest.mark.parametrize("name", ["compression", "x-death"])
    def test_keeps_headers_that_admission_refuses(self, name: str) -> None:
        assert name in read(entry(headers={"task": "x", "id": "y", name: {"a": [1]}}))["headers"]

    @pytest.mark.parametrize("raw", [b"", b"x", b"{}", b"null", b"[]", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
    def test_refuses_what_is_no_message(self, raw: bytes) -> None:
        with pytest.raises(RefusedMessage):
            redis_transport.read_entry(raw, EXCHANGE, TAG)

    @pytest.mark.parametrize(
        "changes",
        [
            {"body": "e30"},
            {"body": None},
            {"headers": None},
            {"headers": {"task": ["pangaea.deliver"], "id": "x"}},
            {"content-type": 5},
            {"properties": {}},
            {"properties": {"delivery_info": {"exchange": "other", "routing_key": "a"}, "body_encoding": "base64"}},
            {"properties": {"delivery_info": {"exchange": EXCHANGE, "routing_key": 5}, "body_encoding": "base64"}},
            {"properties": {"delivery_info": {"exchange": EXCHANGE, "routing_key": "a"}, "body_encoding": "x"}},
            {
                "properties": {
                    "delivery_info": {"exchange": EXCHANGE, "routing_key": "a" * 256},
                    "body_encoding": "base64",
                }
            },
        ],
        ids=str,
    )
    def test_refuses_a_message_of_another_form(self, changes: dict[str, Any]) -> None:
        with pytest.raises(RefusedMessage):
            read(entry(**changes))

    def test_parses_nothing_longer_than_the_longest_message(self) -> None:
        with pytest.raises(RefusedMessage, match="too long"):
            read(entry(more="x" * redis_transport.MAX_ENTRY_BYTES))

    @given(raw=st.binary() | st.builds(lambda value: json.dumps(value).encode(), anything))
    def test_raises_nothing_but_a_refusal(self, raw: bytes) -> None:
        try:
            message = redis_transport.read_entry(raw, EXCHANGE, TAG)
        except RefusedMessage:
            return
        assert message["properties"]["delivery_tag"] == TAG


class TestReadUnacked:
    def test_leaves_a_message_of_another_application_unchanged(self) -> None:
        other = entry(headers={"task": "theirs", "argsrepr": "()"}, more={"__type__": "bytes", "__value__": "a"})
        unacked = [other, "celery", "celery"]
        assert list(redis_transport.read_unacked(json.dumps(unacked).encode())) == unacked

    @given(raw=st.binary() | st.builds(lambda *values: json.dumps(values).encode(), anything, anything, anything))
    def test_raises_nothing_but_a_refusal(self, raw: bytes) -> None:
        try:
            payload, exchange, routing_key = redis_transport.read_unacked(raw)
        except RefusedMessage:
            return
        assert isinstance(payload["headers"], dict)
        assert isinstance(exchange, str)
        assert routing_key


class TestAnotherApplication:
    """It is in the same process, and kombu chooses transports by the scheme of the URL."""

    def test_gets_its_messages_of_any_form(self, redis_url: str) -> None:
        celery_app.app()  # which registers the transports
        connection: Any = Connection  # kombu has no types
        with connection(redis_url) as broker, closing(broker.SimpleQueue(f"another.{uuid4()}")) as queue:
            queue.put({"any": "form"}, serializer="json")
            taken = queue.get(timeout=10)
            taken.requeue()
            again = queue.get(timeout=10)
            again.ack()
            assert taken.payload == again.payload == {"any": "form"}
