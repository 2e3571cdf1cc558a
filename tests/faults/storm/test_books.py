from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pangaea.testing.databases import scratch_database
from tests.faults.storm.books import Audit, Books

TABLES = """
CREATE SCHEMA source;
CREATE TABLE source.pangaea_outbox (id bigint, name text, key text, body text);
CREATE TABLE source.pangaea_catch_up_request (asked bigint, position bigint);
CREATE SCHEMA ledger;
CREATE TABLE ledger.ledger_entry (id bigint, key text, writer int, number bigint, published_at timestamptz);
CREATE TABLE ledger.pangaea_dead_letter (id bigint);
"""
PUBLISHED = """
TRUNCATE source.pangaea_outbox, ledger.ledger_entry;
INSERT INTO source.pangaea_outbox
    SELECT id, 'source.ticked', 'key-' || id % 3,
           format('{"data": {"writer": 1, "number": %s, "at": "2026-01-01T00:00:00Z", "filler": "x"}}', id)
    FROM generate_series(1, 9) AS id;
"""
WRITE = """
INSERT INTO ledger.ledger_entry
    SELECT row_number() OVER (ORDER BY place), 'key-' || mod(number, 3), 1, number, '2026-01-01T00:00:00Z'
    FROM unnest(%s::bigint[]) WITH ORDINALITY AS entry(number, place)
"""


@pytest.fixture(scope="module")
def database(postgres_url: str) -> Iterator[str]:
    """A database with the tables that the books compare."""
    with scratch_database(postgres_url, prefix="pangaea_books") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLES)
        Books(url).open()
        yield url


@pytest.fixture
def connection(database: str) -> Iterator["psycopg.Connection[Any]"]:
    """A connection to it: nine ticks of three keys are published, and none is written."""
    with psycopg.connect(database, autocommit=True) as opened:
        opened.execute(PUBLISHED)
        yield opened


@pytest.fixture
def books(database: str) -> Books:
    """The books of that database."""
    return Books(database)


class TestTheBooks:
    @pytest.mark.parametrize(
        ("written", "violations"),
        [
            pytest.param([1, 2, 3, 4, 5, 6, 7, 8, 9], {}, id="as published"),
            pytest.param([3, 6, 9, 1, 2, 4, 5, 7, 8], {}, id="an order between keys that differs"),
            pytest.param([1, 2, 3, 4, 5, 6, 7, 8], {"lost": 1}, id="the last one is missing"),
            pytest.param([1, 2, 3, 4, 5, 5, 6, 7, 8, 9], {"twice": 1}, id="one twice"),
            pytest.param([4, 1, 2, 3, 5, 6, 7, 8, 9], {"out of order": 1}, id="two of a key exchanged"),
            pytest.param([1, 2, 3, 4, 5, 6, 7, 8, 12], {"lost": 1, "twice": 1}, id="one that was never published"),
        ],
    )
    def test_count_each_violation(
        self, connection: "psycopg.Connection[Any]", books: Books, written: list[int], violations: dict[str, int]
    ) -> None:
        connection.execute(WRITE, [written])
        assert books.audit().violations == violations

    def test_count_a_tick_that_was_published_twice_as_two(
        self, connection: "psycopg.Connection[Any]", books: Books
    ) -> None:
        connection.execute(
            "INSERT INTO source.pangaea_outbox SELECT 10, name, key, body FROM source.pangaea_outbox LIMIT 1"
        )
        connection.execute(WRITE, [[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]])
        assert books.audit() == Audit(messages=10, lost=0, twice=0, out_of_order=0, parked=0)

    def test_count_requests_and_not_their_progress(self, connection: "psycopg.Connection[Any]", books: Books) -> None:
        connection.execute("INSERT INTO source.pangaea_catch_up_request VALUES (5, 5)")
        connection.execute("UPDATE source.pangaea_catch_up_request SET position = 9")
        connection.execute("UPDATE source.pangaea_catch_up_request SET asked = 7, position = 7")
        assert books.requests() == 2
