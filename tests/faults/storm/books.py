"""The books: the ledger's entries compared with the outbox, in SQL that does not depend on the protocol.

The writers' own counts are not used: one that lost its connection at COMMIT does not know whether it published.
"""

from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

# `copy` numbers rows that are equal in all else. A catch-up request is a row that is inserted, or whose `position` is
# set back to `asked`; serving it only raises `position`.
OPEN: LiteralString = """
CREATE SCHEMA storm;
CREATE VIEW storm.published AS
    SELECT id, key, writer, number, at, row_number() OVER (PARTITION BY key, writer, number, at ORDER BY id) AS copy
    FROM source.pangaea_outbox,
        LATERAL json_to_record(body::json -> 'data') AS tick(writer int, number bigint, at timestamptz)
    WHERE name = 'source.ticked';
CREATE TABLE storm.request (at timestamptz);
CREATE FUNCTION storm.count_request() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    AS $$ BEGIN INSERT INTO storm.request VALUES (now()); RETURN NULL; END $$;
CREATE TRIGGER storm_count AFTER INSERT OR UPDATE ON source.pangaea_catch_up_request
    FOR EACH ROW WHEN (NEW.position = NEW.asked) EXECUTE FUNCTION storm.count_request();
"""
AUDIT: LiteralString = """
WITH written AS (
    SELECT id, key, writer, number, published_at AS at,
           row_number() OVER (PARTITION BY key, writer, number, published_at ORDER BY id) AS copy
    FROM ledger.ledger_entry
), pairs AS (
    SELECT key, published.id AS published, written.id AS written
    FROM storm.published AS published FULL JOIN written USING (key, writer, number, at, copy)
), applied AS (
    SELECT published, lag(published) OVER (PARTITION BY key ORDER BY written) AS before
    FROM pairs WHERE published IS NOT NULL AND written IS NOT NULL
)
SELECT (SELECT count(published) FROM pairs),
       (SELECT count(*) FROM pairs WHERE written IS NULL),
       (SELECT count(*) FROM pairs WHERE published IS NULL),
       (SELECT count(*) FROM applied WHERE before > published),
       (SELECT count(*) FROM ledger.pangaea_dead_letter)
"""
HEADS: LiteralString = """
SELECT stream.partition, stream.head, stream.sent, coalesce(cursor.position, 0), cursor.state
FROM source.pangaea_stream AS stream
LEFT JOIN ledger.pangaea_cursor AS cursor
    ON cursor.subscription = 'ledger.ticks' AND cursor.source = 'source'
    AND (cursor.audience, cursor.partition) = (stream.audience, stream.partition)
WHERE stream.audience = 'all'
ORDER BY stream.partition
"""


@dataclass(frozen=True)
class Audit:
    """How many messages there are, and how many of them went wrong, by kind."""

    messages: int
    lost: int
    twice: int
    out_of_order: int
    parked: int

    @property
    def violations(self) -> dict[str, int]:
        """The counts that must be zero and are not, by name."""
        counts = {"lost": self.lost, "twice": self.twice, "out of order": self.out_of_order, "parked": self.parked}
        return {what: count for what, count in counts.items() if count}


class Books:
    """The books of one deployment, read as the owner of its database."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    def open(self) -> None:
        """Create what the books need, and begin to count catch-up requests."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(OPEN)

    def published(self, writer: int, *, step: int) -> int:
        """How many ticks of a writer the outbox has, under its number plus any multiple of `step`."""
        return self._number("SELECT count(*) FROM storm.published WHERE mod(writer, %s) = %s", step, writer)

    def count(self) -> int:
        """How many messages the outbox has."""
        return self._number("SELECT count(*) FROM source.pangaea_outbox")

    def written(self) -> int:
        """How many entries the ledger has."""
        return self._number("SELECT count(*) FROM ledger.ledger_entry")

    def settled(self) -> bool:
        """Whether all that was published has a position, was sent, and was applied."""
        if self._number("SELECT count(*) FROM source.pangaea_outbox WHERE position IS NULL"):
            return False
        heads = self._rows(HEADS)
        return bool(heads) and all(head == sent == taken for _, head, sent, taken, _ in heads)

    def heads(self) -> str:
        """Head, sent and cursor of each stream: the report of what did not settle."""
        return "\n".join(
            f"partition {partition}: head {head}, sent {sent}, cursor {taken}, {state}"
            for partition, head, sent, taken, state in self._rows(HEADS)
        )

    def requests(self) -> int:
        """How many catch-up requests were made."""
        return self._number("SELECT count(*) FROM storm.request")

    def audit(self) -> Audit:
        """Compare the ledger with the outbox."""
        (counts,) = self._rows(AUDIT)
        return Audit(*counts)

    def _number(self, query: LiteralString, *values: int) -> int:
        ((count,),) = self._rows(query, *values)
        return int(count)

    def _rows(self, query: LiteralString, *values: int) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            return connection.execute(query, values or None).fetchall()
