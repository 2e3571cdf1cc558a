"""How long a message takes from its writer to its application, at a calm rate."""

from bench.stage import Stage, stage, until

RATES = {20: 200, 200: 2000}
"""Messages a second, and how many are measured."""
WARM = 100
PERCENTILES = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took), percentile_cont(0.99) WITHIN GROUP (ORDER BY took)
FROM (SELECT extract(epoch FROM written_at - said_at) * 1000 AS took FROM ledger_entry WHERE writer = %s) AS times
"""


def run() -> dict[int, tuple[float, float]]:
    """p50 and p99 in milliseconds for each rate, from before the writer's COMMIT to the handler's write."""
    with stage("source", "ledger") as held:
        held.start("relay", "--module", "source")
        held.start("worker", "--module", "ledger")
        _say(held, writer=1, rate=50, count=WARM)
        return {rate: _measure(held, rate, count) for rate, count in RATES.items()}


def _measure(held: Stage, rate: int, count: int) -> tuple[float, float]:
    _say(held, writer=rate, rate=rate, count=count)
    with held.as_module("ledger") as ledger:
        row = ledger.execute(PERCENTILES, [rate]).fetchone()
    assert row is not None  # noqa: S101 - an aggregate gives a row
    return float(row[0]), float(row[1])


def _say(held: Stage, *, writer: int, rate: int, count: int) -> None:
    held.manage("tick", f"--count={count}", f"--rate={rate}", f"--writer={writer}")
    with held.as_module("ledger") as ledger:
        until(ledger, f"SELECT count(*) FROM ledger_entry WHERE writer = {writer}", count, what=f"{count} entries")
