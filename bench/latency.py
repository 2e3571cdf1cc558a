"""How long a message takes from its writer to its application, at a calm rate."""

from multiprocessing import Process
from typing import Any

import psycopg

from bench import limit
from bench.stage import Stage, stage, until

RATES = {20: 200, 200: 2000}
"""Messages per second, and how many are measured."""
WARM = 100
START = 0.5
"""The first seconds of each writer, which are not counted: it still imports and connects."""
PERCENTILES = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took), percentile_cont(0.99) WITHIN GROUP (ORDER BY took)
FROM (SELECT took * 1000 AS took, published - min(published) OVER () AS since FROM ({}) AS times) AS counted
WHERE since >= {}
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
        _publish(held, writer=1, rate=50, count=WARM)
        return {"limit": hand, "streams": {rate: _measure(held, rate, count) for rate, count in RATES.items()}}


def _by_hand(held: Stage, connection: "psycopg.Connection[Any]", rate: int, count: int) -> tuple[float, float]:
    # As for the streams, the writer has its own process.
    writer = Process(target=limit.publish, kwargs={"database_url": held.database_url, "rate": rate, "count": count})
    writer.start()
    writer.join()
    until(connection, f"SELECT count(*) FROM limit_.entry WHERE rate = {rate}", count, what=f"{count} entries by hand")
    return _percentiles(connection, "SELECT published, took FROM limit_.entry WHERE rate = %s", rate)


def _measure(held: Stage, rate: int, count: int) -> tuple[float, float]:
    _publish(held, writer=rate, rate=rate, count=count)
    with held.as_module("ledger") as ledger:
        return _percentiles(
            ledger,
            "SELECT extract(epoch FROM published_at) AS published, "
            "extract(epoch FROM written_at - published_at) AS took FROM ledger_entry WHERE writer = %s",
            rate,
        )


def _percentiles(connection: "psycopg.Connection[Any]", times: str, rate: int) -> tuple[float, float]:
    row = connection.execute(PERCENTILES.format(times, START), [rate]).fetchone()
    assert row is not None  # noqa: S101 - an aggregate gives a row
    return float(row[0]), float(row[1])


def _publish(held: Stage, *, writer: int, rate: int, count: int) -> None:
    held.manage("tick", f"--count={count}", f"--rate={rate}", f"--writer={writer}")
    with held.as_module("ledger") as ledger:
        until(ledger, f"SELECT count(*) FROM ledger_entry WHERE writer = {writer}", count, what=f"{count} entries")
