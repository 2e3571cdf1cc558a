"""Broken and hostile broker messages: no worker ends, nothing is written, and later messages are applied."""

import base64
import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import amqp
import msgspec
import pytest
import redis
from kombu.connection import Connection

from pangaea.broker import admission
from pangaea.testing import wait_until
from pangaea.wire import PARTITIONS, Batch, CatchUp, Report
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape

pytestmark = pytest.mark.full

COUNT, SEED, TICKS = 1_000, 20261129, 20
HEADERS = (
    *("task", "id", "timelimit", "stamped_headers", "stamps", "eta", "expires", "shadow", "retries", "group", "lang"),
    *("root_id", "parent_id", "argsrepr", "kwargsrepr", "ignore_result", "compression", "x-death", "origin", "x_queue"),
    *("callbacks", "errbacks", "chain", "chord", "replaced_task_nesting", "delivery_info", "args", "kwargs"),
)
VALUES: tuple[Any, ...] = (
    None,
    0,
    1,
    -1,
    2**40,
    True,
    5.5,
    "",
    "x",
    "\N{SNOWMAN}" * 300,
    [],
    [1],
    ["x"],
    {},
    {"a": [1]},
    "zlib",
)
CODECS = ("application/json", "application/x-python-serialize", "application/data", "text/plain", "", "x" * 200)

SOUND: dict[str, tuple[str, bytes]] = {
    admission.DELIVER: (
        "source.all.{}",
        Batch(
            source="source", audience="all", partition=1, partitions=PARTITIONS, first=1, before=None, head=0, floor=0
        ).pack([]),
    ),
    admission.CATCH_UP: (
        "ledger.source.{}",
        msgspec.json.encode(
            CatchUp(
                subscription="ledger.ticks", source="source", audience="all", partition=1, position=0, message_id=None
            )
        ),
    ),
    admission.REPORT: (
        "ledger.source.0",
        msgspec.json.encode(Report(subscription="ledger.ticks", source="source", cursors=[])),
    ),
}


def broken(drawn: random.Random) -> tuple[str, Any]:
    """A routing key and a message with one defect or several."""
    task = drawn.choice(list(SOUND))
    routing_key, body = SOUND[task]
    headers: dict[str, Any] = {"task": task, "id": str(uuid4())}
    properties: dict[str, Any] = {
        "content_type": admission.CONTENT_TYPE,
        "content_encoding": admission.CONTENT_ENCODING,
        "user_id": "guest",
    }
    body = drawn.choice(
        [
            body[: drawn.randrange(len(body))],
            drawn.randbytes(drawn.randrange(200)),
            b"",
            b"[" * 50_000,
            b"null",
            b"[]",
            b"0",
            b'{"source": 5}',
            body + b"}",
        ]
    )
    for _ in range(drawn.randrange(4)):
        headers[drawn.choice(HEADERS)] = drawn.choice(VALUES)
    if drawn.random() < 0.2:
        headers.pop(drawn.choice(["task", "id"]), None)
    if drawn.random() < 0.2:
        properties[drawn.choice(["content_type", "content_encoding"])] = drawn.choice(CODECS)
    if drawn.random() < 0.2:
        properties.pop(drawn.choice(list(properties)))
    if drawn.random() < 0.1:
        properties |= {"priority": 200, "reply_to": "x" * 200, "correlation_id": "y" * 200, "type": "z"}
    if drawn.random() < 0.9:
        properties["application_headers"] = headers
    return routing_key.format(drawn.randrange(PARTITIONS)), amqp.Message(body, **properties)


NO_ENTRIES = (
    *(
        b"",
        b"x",
        b"{}",
        b"null",
        b"[]",
        b"0",
        b'"x"',
        b"NaN",
        b"\xff",
        b"\x00",
        b'{"properties": {}}',
        b'{"body": "x"}',
    ),
    *(b"[" * 100_000, b'{"a":' * 100_000, b'{"body": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"x" * 30_000_000),
    b'{"__type__": "uuid", "__value__": {"hex": 5}}',
    b'{"headers": {"id": "\\ud800"}}',
)


def broken_entry(drawn: random.Random) -> bytes:
    """What a client of Redis may push to a queue's list: something that is no entry, or an entry with defects."""
    if drawn.random() < 0.2:
        return drawn.choice([*NO_ENTRIES, drawn.randbytes(drawn.randrange(200))])
    routing_key, message = broken(drawn)
    properties: dict[str, Any] = {
        "delivery_mode": 2,
        "delivery_info": {"exchange": "streams", "routing_key": routing_key},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid4()),
    }
    entry: dict[str, Any] = {
        "body": base64.b64encode(message.body).decode(),
        "content-type": message.properties.get("content_type"),
        "content-encoding": message.properties.get("content_encoding"),
        "headers": message.properties.get("application_headers"),
        "properties": properties,
    }
    for _ in range(drawn.randrange(3)):
        within = drawn.choice([entry, properties, properties["delivery_info"] or {}])
        name = drawn.choice(list(within) or ["x"])
        if not isinstance(within.get(name), dict) or drawn.random() < 0.3:
            within[name] = drawn.choice(VALUES)
        if not isinstance(properties.get("delivery_info"), dict) or drawn.random() < 0.1:
            within.pop(name, None)
            break
    raw = json.dumps(entry).encode()
    if drawn.random() < 0.2:
        at = drawn.randrange(len(raw))
        return raw[:at] + drawn.randbytes(drawn.randrange(3)) + raw[at + drawn.randrange(3) :]
    return raw


@contextmanager
def rabbitmq_sender(land: Landscape) -> Iterator[tuple[Callable[[random.Random], None], Callable[[str], int]]]:
    """Yields two functions: the first sends a broken message, the second counts the messages in a queue."""
    exchange = f"{land.environment['BROKER_PREFIX']}streams"
    connect: Any = Connection  # kombu has no types
    with connect(land.environment["BROKER_URL"]) as broker:
        channel = broker.default_channel

        def send(drawn: random.Random) -> None:
            routing_key, message = broken(drawn)
            channel.basic_publish(message, exchange=exchange, routing_key=routing_key)

        yield send, lambda queue: channel.queue_declare(queue, passive=True).message_count


@contextmanager
def redis_sender(land: Landscape) -> Iterator[tuple[Callable[[random.Random], None], Callable[[str], int]]]:
    """As `rabbitmq_sender`, on Redis."""
    prefix = land.environment["BROKER_PREFIX"]
    with redis.Redis.from_url(land.environment["BROKER_URL"]) as client:

        def send(drawn: random.Random) -> None:
            queue = drawn.choice([f"{prefix}source.inbox.0of1", f"{prefix}ledger.inbox.0of1"])
            client.lpush(queue, broken_entry(drawn).replace(b'"streams"', f'"{prefix}streams"'.encode()))

        yield send, lambda queue: int(client.llen(queue))


SENDERS: dict[str, Callable[[Landscape], AbstractContextManager[Any]]] = {
    "amqp_url": rabbitmq_sender,
    "redis_url": redis_sender,
}


@pytest.fixture(params=SENDERS)
def broker(request: pytest.FixtureRequest) -> str:
    """Each broker in turn."""
    return str(request.param)


@pytest.fixture
def land(tmp_path: Path, postgres_url: str, broker: str, request: pytest.FixtureRequest) -> Iterator[Landscape]:
    url: str = request.getfixturevalue(broker)
    with landscape(tmp_path, postgres_url=postgres_url, broker_url=url) as found:
        yield found


class TestBrokenMessages:
    def test_end_no_worker_and_write_nothing(self, land: Landscape, broker: str) -> None:
        worker = land.worker("source", "ledger")
        land.wait_state("worker-source-ledger", "queues", "consuming")
        drawn = random.Random(SEED)
        queues = [f"{land.environment['BROKER_PREFIX']}{module}.inbox.0of1" for module in ("source", "ledger")]
        with SENDERS[broker](land) as (send, waiting):
            for _ in range(COUNT):
                send(drawn)

            def empty() -> bool:
                worker.check()
                return not any(waiting(queue) for queue in queues)

            wait_until(empty, what="the queues to be empty", seconds=60)
        worker.check()
        written = worker.log.read_text()
        assert "broker message refused" in written
        assert "worker interrupted" not in written
        assert land.query("SELECT * FROM source.pangaea_catch_up_request") == []
        assert land.query("SELECT * FROM source.pangaea_subscriber") == []
        assert land.query("SELECT * FROM ledger.pangaea_dead_letter") == []
        assert land.written() == 0

        land.relay()
        land.publish(TICKS, seed=1)
        land.wait_written(TICKS)
        worker.check()
        assert worker.log.read_text().count("worker started") == 1
        worker.stop()


@pytest.mark.parametrize("broker", ["redis_url"], indirect=True)
class TestUnacknowledgedMessagesOnRedis:
    def test_end_no_worker_when_they_are_broken(self, land: Landscape) -> None:
        drawn = random.Random(SEED)
        unacknowledged = [
            *NO_ENTRIES[:-2],
            *(json.dumps(value).encode() for value in (["x", 5, {}], [{}, "", ""], [{"headers": []}, [], 5])),
            *(b"[" + broken_entry(drawn) + b', "streams", "source.all.1"]' for _ in range(100)),
        ]
        with redis.Redis.from_url(land.environment["BROKER_URL"]) as client:
            for number, value in enumerate(unacknowledged):
                client.hset("unacked", f"broken-{number}", value)
                client.zadd("unacked_index", {f"broken-{number}": number})
            worker = land.worker("source", "ledger")

            def dropped() -> bool:
                worker.check()
                return not any(tag.startswith(b"broken-") for tag in client.hkeys("unacked"))

            wait_until(dropped, what="the unacknowledged messages to be restored or dropped", seconds=HEALING_SECONDS)
            assert not client.exists("unacked_index") or client.zcount("unacked_index", 0, len(unacknowledged)) == 0
        land.relay()
        land.publish(TICKS, seed=1)
        land.wait_written(TICKS)
        worker.check()
        written = worker.log.read_text()
        assert "broker message refused" in written
        assert "worker interrupted" not in written
        assert "Traceback" not in written


@pytest.mark.parametrize("broker", ["amqp_url"], indirect=True)
class TestAWorkerThatEndsWithoutASignal:
    def test_exits_with_an_error(self, land: Landscape) -> None:
        worker = land.worker("source", "ledger")
        land.wait_state("worker-source-ledger", "queues", "consuming")
        worker.popen.send_signal(signal.SIGQUIT)
        assert worker.popen.wait(timeout=HEALING_SECONDS) == os.EX_SOFTWARE
