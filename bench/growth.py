"""The cost of a long history: memory over many messages, and the drain of a long stream."""

import time

import psutil

from bench import backlog
from bench.stage import Stage, stage, until
from tests.processes import Process

STEP, COUNT = 20_000, 20_000
MEBIBYTE = 1024 * 1024


def run(*, total: int = 1_000_000) -> dict[str, float]:
    """Messages per second on a young and on an old stream, and the growth of relay and worker in MiB between them."""
    with stage("source", "balances") as held:
        relay = held.start("relay", "--module", "source")
        worker = held.start("worker", "--module", "balances")
        done = _drain(held, 0, STEP)[0]
        done, young = _drain(held, done, COUNT)
        before = {"relay": _resident(relay), "worker": _resident(worker)}
        while done < total:
            done = _drain(held, done, 5 * STEP)[0]
        after = {"relay": _resident(relay), "worker": _resident(worker)}
        done, old = _drain(held, done, COUNT)
    growth = {f"{name} grew, MiB": (after[name] - before[name]) / MEBIBYTE for name in before}
    return {"young stream": young, f"after {total:,}": old, **growth}


def _drain(held: Stage, done: int, count: int) -> tuple[int, float]:
    with held.as_module("source") as source, held.as_module("balances") as applied:
        backlog.commit(source, count, seed=done + 1)
        started = time.monotonic()
        until(applied, "SELECT sum(count) FROM balances_balance", done + count, what=f"{done + count} messages")
    return done + count, count / (time.monotonic() - started)


def _resident(process: Process) -> int:
    whole = psutil.Process(process.popen.pid)
    return sum(int(each.memory_info().rss) for each in [whole, *whole.children(recursive=True)])
