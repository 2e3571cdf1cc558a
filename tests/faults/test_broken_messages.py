"""Broken and hostile broker messages: no worker ends, nothing is written, and what comes after them is applied."""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import amqp
import msgspec
import pytest
from kombu.connection import Connection

from pangaea import admission
from pangaea.messages import PARTITIONS, Batch, CatchUp, Report
from pangaea.testing import wait_until
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
    """A routing key and a message with one thing wrong, or several."""
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


@pytest.fixture
def land(tmp_path: Path, postgres_url: str, amqp_url: str) -> Iterator[Landscape]:
    with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url) as found:
        yield found


class TestBrokenMessages:
    def test_end_no_worker_and_write_nothing(self, land: Landscape) -> None:
        worker = land.worker("source", "ledger")
        land.wait_state("worker-source-ledger", "queues", "consuming")
        drawn = random.Random(SEED)
        exchange = f"{land.environment['BROKER_PREFIX']}streams"
        connect: Any = Connection  # kombu has no types
        with connect(land.environment["BROKER_URL"]) as broker:
            channel = broker.default_channel
            for _ in range(COUNT):
                routing_key, message = broken(drawn)
                channel.basic_publish(message, exchange=exchange, routing_key=routing_key)
            queues = [f"{land.environment['BROKER_PREFIX']}{module}.inbox.0of1" for module in ("source", "ledger")]
            wait_until(
                lambda: all(not channel.queue_declare(queue, passive=True).message_count for queue in queues),
                what="the queues to be empty",
                seconds=60,
            )
        worker.check()
        assert "broker message refused" in worker.log.read_text()
        assert land.query("SELECT * FROM source.pangaea_catch_up_request") == []
        assert land.query("SELECT * FROM source.pangaea_subscriber") == []
        assert land.query("SELECT * FROM ledger.pangaea_dead_letter") == []
        assert land.written() == 0

        land.relay()
        land.say(TICKS, seed=1)
        land.wait_written(TICKS)
        worker.check()
        assert worker.log.read_text().count("worker started") == 1
        worker.stop()


class TestAWorkerThatEndsWithoutBeingToldTo:
    def test_exits_with_an_error(self, land: Landscape) -> None:
        worker = land.worker("source", "ledger")
        land.wait_state("worker-source-ledger", "queues", "consuming")
        worker.popen.send_signal(signal.SIGQUIT)
        assert worker.popen.wait(timeout=HEALING_SECONDS) == os.EX_SOFTWARE
