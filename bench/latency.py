"""How long a message takes from its writer to its application, at a calm rate."""

from multiprocessing import Process
from typing import Any

import psycopg

from bench import limit
from bench.stage import Stage, stage, until

RATES = {20: 200, 200: 2000}
"""Messages a second, and how many are measured."""
WARM = 100
START = 0.5
"""Seconds of each writer that are not counted: it imports and connects while it writes its first messages."""
PERCENTILES = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took), percentile_cont(0.99) WITHIN GROUP (ORDER BY took)
FROM (SELECT took * 1000 AS took, said - min(said) OVER () AS since FROM ({}) AS times) AS counted WHERE since >= {}
"""


def run() -> dict[str, dict[int, tuple[float, float]]]:
    """p50 and p99 in milliseconds for each rate, from before the writer's COMMIT to the handler's write.

    First of the pipeline by hand, then of the streams.
    """
    with stage("source", "ledger") as held:
        by_hand = limit.Limit(held.database_url, held.broker_url)
        by_hand.start()
        try:
            with held.connect() as connection:
                hand = {rate: _by_hand(held, connection, rate, count) for rate, count in RATES.items()}
        finally:
            by_hand.stop()
        held.start("relay", "--module", "source")
        held.start("worker", "--module", "ledger")
        _say(held, writer=1, rate=50, count=WARM)
        return {"limit": hand, "streams": {rate: _measure(held, rate, count) for rate, count in RATES.items()}}


def _by_hand(held: Stage, connection: "psycopg.Connection[Any]", rate: int, count: int) -> tuple[float, float]:
    # As the streams have it: the writer is a process of its own.
    writer = Process(target=limit.say, kwargs={"database_url": held.database_url, "rate": rate, "count": count})
    writer.start()
    writer.join()
    until(connection, f"SELECT count(*) FROM limit_.entry WHERE rate = {rate}", count, what=f"{count} entries by hand")
    return _percentiles(connection, "SELECT said, took FROM limit_.entry WHERE rate = %s", rate)


def _measure(held: Stage, rate: int, count: int) -> tuple[float, float]:
    _say(held, writer=rate, rate=rate, count=count)
    with held.as_module("ledger") as ledger:
        return _percentiles(
            ledger,
            "SELECT extract(epoch FROM said_at) AS said, extract(epoch FROM written_at - said_at) AS took "
            "FROM ledger_entry WHERE writer = %s",
            rate,
        )


def _percentiles(connection: "psycopg.Connection[Any]", times: str, rate: int) -> tuple[float, float]:
    row = connection.execute(PERCENTILES.format(times, START), [rate]).fetchone()
    assert row is not None  # noqa: S101 - an aggregate gives a row
    return float(row[0]), float(row[1])


def _say(held: Stage, *, writer: int, rate: int, count: int) -> None:
    held.manage("tick", f"--count={count}", f"--rate={rate}", f"--writer={writer}")
    with held.as_module("ledger") as ledger:
        until(ledger, f"SELECT count(*) FROM ledger_entry WHERE writer = {writer}", count, what=f"{count} entries")
