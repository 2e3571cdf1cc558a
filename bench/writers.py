"""How much many concurrent writers publish: threads of several processes, as in a web deployment."""

import os
import subprocess
import sys

from bench.stage import Stage, stage
from tests.processes import ROOT, explicit

PROCESSES, THREADS = 4, 4
SECONDS, ROUNDS = 4.0, 3
SCRIPT = """
import sys, threading, time, django
django.setup()
from datetime import UTC, datetime
from django.db import connections, transaction
from pangaea import outbox
from pangaea.databases.engines.postgresql.engine import PostgreSQL
from tests.landscape.source.messages import Ticked

mode, process, threads, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
if mode == "wake-up off":
    PostgreSQL.wake_after_commit = lambda self, connection: None
done = [0] * threads
ready = threading.Barrier(threads + 1)

def write(thread):
    with transaction.atomic(using="source"):
        pass
    ready.wait()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with transaction.atomic(using="source"):
            with connections["source"].cursor() as cursor:
                cursor.execute("INSERT INTO bench_row (key, number) VALUES (%s, %s)", ["key", done[thread]])
            if mode != "insert":
                tick = Ticked(writer=process, number=done[thread], at=datetime.now(UTC), filler="x" * 100)
                outbox.publish(tick, key=f"{process}-{thread}-{done[thread] % 1000}")
        done[thread] += 1
    connections.close_all()

writing = [threading.Thread(target=write, args=[thread]) for thread in range(threads)]
for each in writing:
    each.start()
print("ready", flush=True)
sys.stdin.readline()
ready.wait()
for each in writing:
    each.join()
print(sum(done))
"""


def run() -> dict[str, float]:
    """Transactions per second, medians: an insert; one with a message, the wake-up off; one with a message."""
    found: dict[str, list[float]] = {"insert": [], "wake-up off": [], "published": []}
    with stage("source", "ledger") as held:
        with held.as_module("source") as source:
            source.execute("CREATE TABLE bench_row (id bigserial PRIMARY KEY, key text, number bigint)")
        held.start("relay", "--module", "source")
        for _ in range(ROUNDS):
            for mode, rates in found.items():
                rates.append(_rate(held, mode))
    return {mode: sorted(rates)[ROUNDS // 2] for mode, rates in found.items()}


def _rate(held: Stage, mode: str) -> float:
    environment = explicit({**held.environment, "PYTHONPATH": os.fspath(ROOT)})
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, mode, str(number), str(THREADS), str(SECONDS)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        process.stdin.write("go\n")
        process.stdin.flush()
    total = sum(int(process.communicate()[0]) for process in processes)
    return total / SECONDS
