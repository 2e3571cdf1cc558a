"""One run: start the processes, cause the troubles, wait until all has healed, audit the books."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pangaea.testing import wait_until
from tests.faults.storm.books import Audit, Books
from tests.faults.storm.deployment import MODULES, STARTING_SECONDS, Supervisor, environment
from tests.faults.storm.figures import Row
from tests.faults.storm.schedule import Storm, draw_schedule
from tests.faults.storm.troubles import Troubles
from tests.processes import Workspace

KINDS = ("relay", "worker", "writer")
WRITER_STEP = 100
"""Added to a writer's number at each restart, so that no two ticks of it are equal."""
RELAYS = 2
TRANSACTION = 5
FINISH_SECONDS, HEAL_SECONDS = 600.0, 300.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is published, and how much goes wrong meanwhile."""

    seed: int
    messages: int
    keys: int
    writers: int
    seconds: float
    kill_every: float
    workers: int
    apart: bool = True
    """Whether each module has workers of its own."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run shows."""

    plan: Plan
    audit: Audit
    rows: Sequence[Row]


def run(
    plan: Plan,
    *,
    space: Workspace,
    database_url: str,
    broker_url: str,
    prefix: str,
    expect: Callable[[Supervisor], Troubles],
) -> Outcome:
    """Run the plan with these troubles.

    Raises AssertionError, with the state of each stream, where not all is applied in the end.
    """
    settings = environment(database_url=database_url, broker_url=broker_url, prefix=prefix)
    space.manage("migrate", "--verbosity", "0", environment=settings)
    books = Books(database_url)
    books.open()
    supervisor = Supervisor(space, settings)
    troubles = expect(supervisor)
    incidents = draw_schedule(
        plan.seed, seconds=plan.seconds, kinds=KINDS, every=plan.kill_every, troubles=tuple(troubles)
    )
    print(f"seed {plan.seed}", *incidents, sep="\n")  # noqa: T201 - pytest shows it beside a failure
    _add_slots(supervisor, plan, books)
    storm = Storm(supervisor, troubles)
    with supervisor.supervising():
        wait_until(books.written, what="the first message to be written", seconds=STARTING_SECONDS)
        storm.run(incidents, seconds=plan.seconds)
        over, meanwhile = time.monotonic(), books.count()
        supervisor.wait_done("writer", seconds=FINISH_SECONDS)
        published = time.monotonic()
        _heal(books)
        healed = time.monotonic()
        supervisor.wait_orphans()
    audit = books.audit()
    rows: list[Row] = [
        ("messages, keys, writers", f"{audit.messages:,}, {plan.keys:,}, {plan.writers}"),
        ("published while the storm lasted", f"{meanwhile:,}"),
        ("seconds of storm, seed", f"{plan.seconds:.0f}, {plan.seed}"),
        *((f"SIGKILL to a {kind}", storm.happened[f"kill {kind}"]) for kind in KINDS),
        ("of the workers: only the pool's process, only its parent", f"{storm.ways['child']}, {storm.ways['parent']}"),
        *((what, storm.happened[what]) for what in troubles),
        ("broker messages thrown away", storm.thrown_away),
        ("processes that ended without a kill", supervisor.ended.total()),
        ("requests to catch up", books.requests()),
        ("writers done after the storm", f"{published - over:.1f} s"),
        ("all applied after that", f"{healed - published:.1f} s"),
        ("**lost**", audit.lost),
        ("**applied twice**", audit.twice),
        ("**out of key order**", audit.out_of_order),
        ("**valid messages parked**", audit.parked),
    ]
    return Outcome(plan=plan, audit=audit, rows=rows)


def _add_slots(supervisor: Supervisor, plan: Plan, books: Books) -> None:
    supervisor.add("relay", lambda: ["relay"], count=RELAYS)
    if plan.apart:
        for module in MODULES:
            supervisor.add("worker", lambda module=module: ["worker", f"--module={module}"], count=plan.workers)  # type: ignore[misc]
    else:
        supervisor.add("worker", lambda: ["worker"], count=plan.workers)
    for number in range(plan.writers):
        supervisor.add("writer", _writer(number, plan, books))


def _writer(number: int, plan: Plan, books: Books) -> Callable[[], Sequence[str] | None]:
    quota = plan.messages // plan.writers
    starts = iter(range(1_000))
    until = time.monotonic() + plan.seconds

    def command() -> Sequence[str] | None:
        left = quota - books.published(number, step=WRITER_STEP)
        if left <= 0:
            return None
        # A restarted writer is faster, so that most is published while the storm lasts.
        rate = left / max(until - time.monotonic(), 1.0)
        alias = number + WRITER_STEP * next(starts)
        options = {"count": left, "keys": plan.keys, "writer": alias, "rate": rate, "transaction": TRANSACTION}
        return ["tick", *(f"--{name}={value}" for name, value in options.items())]

    return command


def _heal(books: Books) -> None:
    try:
        wait_until(books.settled, what="everything to be applied", seconds=HEAL_SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{books.heads()}") from None
