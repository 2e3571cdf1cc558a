"""The cost of publishing in the transaction of an insert."""

import os
import subprocess
import sys

from bench.stage import stage
from tests.processes import ROOT, explicit

SCRIPT = """
import time, django
django.setup()
from datetime import UTC, datetime
from django.db import transaction
from pangaea import outbox
from tests.landscape.ledger.models import Entry
from tests.landscape.source.messages import Ticked
from django.db import connections

ROUNDS, COUNT = 5, 400
connection = connections["source"]
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE IF NOT EXISTS bench_row (id bigserial PRIMARY KEY, key text, number bigint)")

def insert(number):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_row (key, number) VALUES (%s, %s)", ["key", number])

def bare(number):
    with transaction.atomic(using="source"):
        insert(number)

def published(number):
    with transaction.atomic(using="source"):
        insert(number)
        tick = Ticked(writer=1, number=number, at=datetime.now(UTC), filler="x" * 100)
        outbox.publish(tick, key=f"key-{number}")

best = {}
for _ in range(ROUNDS):
    for name, work in (("bare", bare), ("published", published)):
        started = time.perf_counter()
        for number in range(COUNT):
            work(number)
        took = (time.perf_counter() - started) / COUNT * 1000
        best[name] = min(best.get(name, took), took)
print(best["bare"], best["published"])
"""


def run() -> dict[str, float]:
    """Milliseconds per transaction that inserts a row, without and with a message; the best of five rounds."""
    with stage("source", "ledger") as held:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            env=explicit({**held.environment, "PYTHONPATH": os.fspath(ROOT)}),
            capture_output=True,
            text=True,
            check=True,
        )
    bare, published = map(float, done.stdout.split())
    return {"insert": bare, "insert and publish": published}
