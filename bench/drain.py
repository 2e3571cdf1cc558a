"""How fast a backlog is applied, committed to applied, beside the limit."""

import time
from collections.abc import Callable
from typing import Any

import psycopg

from bench import backlog, limit
from bench.stage import Stage, stage, until

COUNT, ROUNDS, WARM = 20_000, 3, 500


def run() -> dict[str, float]:
    """Messages per second: the limit, a set-wise handler, a handler of single messages; medians of the rounds."""
    with stage("source", "balances") as held:
        by_hand = limit.Limit(held.database_url, held.broker_url)
        by_hand.start()
        try:
            with held.connect() as connection:
                limits = _rounds(
                    lambda count: limit.commit(connection, count, backlog.KEYS), connection, "limit_.balance"
                )
        finally:
            by_hand.stop()
        batches = _pangaea(held, "balances")
    with stage("source", "singles") as held:
        singles = _pangaea(held, "singles")
    return {"limit": limits, "set-wise": batches, "one at a time": singles}


def _pangaea(held: Stage, reader: str) -> float:
    held.start("relay", "--module", "source")
    held.start("worker", "--module", reader)
    with held.as_module("source") as source, held.as_module(reader) as applied:
        return _rounds(lambda count: backlog.commit(source, count), applied, f"{reader}_balance")


def _rounds(commit: Callable[[int], None], applied: "psycopg.Connection[Any]", table: str) -> float:
    done, rates = 0, []
    for count in (WARM, *[COUNT] * ROUNDS):
        commit(count)
        started = time.monotonic()
        done += count
        until(applied, f"SELECT sum(count) FROM {table}", done, what=f"{table} to hold {done}")
        rates.append(count / (time.monotonic() - started))
    return sorted(rates[1:])[ROUNDS // 2]
