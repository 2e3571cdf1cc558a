"""The pipeline by hand: what Python and these servers can do without a framework.

A relay and a consumer, one process each. LISTEN, 500 rows, broker messages of 100 events, confirmed; the consumer
saves its position in the transaction of a set-wise upsert. It has no partitions, no gaps, no parking.
"""

import json
import multiprocessing
import time
from multiprocessing.synchronize import Event
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp
import msgspec
import psycopg

ROWS, EVENTS = 500, 100
SCHEMA = """
CREATE SCHEMA limit_;
CREATE TABLE limit_.outbox (
    id bigserial PRIMARY KEY, key text NOT NULL, body text NOT NULL, sent boolean NOT NULL DEFAULT false);
CREATE INDEX ON limit_.outbox (id) WHERE NOT sent;
CREATE TABLE limit_.balance (key text PRIMARY KEY, count bigint NOT NULL, last bigint NOT NULL);
CREATE TABLE limit_.entry (rate int NOT NULL, published double precision NOT NULL, took double precision NOT NULL);
CREATE TABLE limit_.cursor (name text PRIMARY KEY, position bigint NOT NULL);
INSERT INTO limit_.cursor VALUES ('all', 0);
"""
WAKE = "NOTIFY limit_"
"""After the commit: inside the transaction it would serialise all commits of the server."""
UPSERT = """
INSERT INTO limit_.balance AS mine (key, count, last)
SELECT key, count(*), max(number) FROM unnest(%s::text[], %s::bigint[]) AS new(key, number) GROUP BY key ORDER BY key
ON CONFLICT (key) DO UPDATE SET count = mine.count + excluded.count, last = excluded.last
"""


class Tick(msgspec.Struct):
    """The fields of an event that the consumer needs."""

    key: str
    number: int
    rate: int = 0
    published: float = 0.0


class Delivery(msgspec.Struct):
    """A broker message."""

    last: int
    events: list[Tick]


def connect(broker_url: str) -> Any:
    """A py-amqp connection."""
    address = urlsplit(broker_url)
    connection = amqp.Connection(
        host=f"{address.hostname}:{address.port or 5672}",
        userid=address.username,
        password=address.password,
        virtual_host=unquote(address.path[1:]) or "/",
        confirm_publish=True,
    )
    connection.connect()
    return connection


def relay(database_url: str, broker_url: str, stop: Event) -> None:
    """Send rows to the broker in the order of their ids."""
    channel = connect(broker_url).channel()
    listening = psycopg.connect(database_url, autocommit=True)
    listening.execute("LISTEN limit_")
    database = psycopg.connect(database_url, autocommit=True)
    while not stop.is_set():
        rows = database.execute(
            "SELECT id, body FROM limit_.outbox WHERE NOT sent ORDER BY id LIMIT %s", [ROWS]
        ).fetchall()
        for start in range(0, len(rows), EVENTS):
            part = rows[start : start + EVENTS]
            body = f'{{"last":{part[-1][0]},"events":[{",".join(text for _, text in part)}]}}'
            channel.basic_publish_confirm(amqp.Message(body, delivery_mode=2), exchange="", routing_key="limit")
        if rows:
            database.execute("UPDATE limit_.outbox SET sent = true WHERE id = ANY(%s)", [[row[0] for row in rows]])
        else:
            for _ in listening.notifies(timeout=0.5, stop_after=1):
                break


def consume(database_url: str, broker_url: str, stop: Event) -> None:
    """Apply broker messages."""
    connection = connect(broker_url)
    channel = connection.channel()
    database = psycopg.connect(database_url)
    decoder = msgspec.json.Decoder(Delivery)

    def apply(message: Any) -> None:
        delivery = decoder.decode(message.body)
        with database.transaction():
            row = database.execute("SELECT position FROM limit_.cursor WHERE name = 'all' FOR UPDATE").fetchone()
            if row and row[0] < delivery.last:
                keys = [event.key for event in delivery.events]
                database.execute(UPSERT, [keys, [event.number for event in delivery.events]])
                now = time.time()
                calm = [(event.rate, event.published, now - event.published) for event in delivery.events if event.rate]
                if calm:
                    database.cursor().executemany("INSERT INTO limit_.entry VALUES (%s, %s, %s)", calm)
                database.execute("UPDATE limit_.cursor SET position = %s WHERE name = 'all'", [delivery.last])
        channel.basic_ack(message.delivery_tag)

    channel.basic_qos(prefetch_size=0, prefetch_count=4, a_global=False)
    channel.basic_consume("limit", callback=apply)
    while not stop.is_set():
        try:
            connection.drain_events(timeout=0.5)
        except TimeoutError:
            continue


class Limit:
    """The two processes, between `start` and `stop`."""

    def __init__(self, database_url: str, broker_url: str) -> None:
        self._arguments = (database_url, broker_url)
        self._stop = multiprocessing.Event()
        self._processes: list[multiprocessing.Process] = []

    def start(self) -> None:
        """Create the tables and the queue, and start both."""
        database_url, broker_url = self._arguments
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(SCHEMA)
        with connect(broker_url) as connection:
            arguments = {"x-queue-type": "quorum", "x-single-active-consumer": True}
            connection.channel().queue_declare("limit", durable=True, auto_delete=False, arguments=arguments)
        for work in (relay, consume):
            process = multiprocessing.Process(target=work, args=(*self._arguments, self._stop))
            process.start()
            self._processes.append(process)

    def stop(self) -> None:
        """Stop both."""
        self._stop.set()
        for process in self._processes:
            process.join(timeout=10)


def commit(connection: "psycopg.Connection[Any]", count: int, keys: int) -> None:
    """Write a backlog, in one transaction; the connection is in autocommit mode."""
    statement = "COPY limit_.outbox (key, body) FROM STDIN"
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as copy:
        for number in range(count):
            key = f"key-{number * 7919 % keys}"
            copy.write_row((key, json.dumps({"key": key, "number": number, "filler": "x" * 360})))
    connection.execute(WAKE)


def publish(database_url: str, *, rate: int, count: int) -> None:
    """Write messages one by one, at that rate per second."""
    statement = "INSERT INTO limit_.outbox (key, body) VALUES (%s, %s)"
    with psycopg.connect(database_url, autocommit=True) as connection:
        started = time.monotonic()
        for number in range(count):
            with connection.transaction():
                event = {"key": f"key-{number % 1000}", "number": number, "rate": rate, "published": time.time()}
                connection.execute(statement, [event["key"], json.dumps(event)])
            connection.execute(WAKE)
            time.sleep(max(0.0, started + (number + 1) / rate - time.monotonic()))
