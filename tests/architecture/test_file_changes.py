"""Consume reads top to bottom: how often one batch takes its reader to another file of the kernel."""

from collections.abc import Iterator, Sequence

import pytest
from django.db import connections

from pangaea import modules
from pangaea.inbox import consume
from pangaea.inbox.subscriptions import Projection
from pangaea.messages import Received
from tests.architecture.file_changes import walk
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Tick, Wire, ledger_table, say

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)

MESSAGES = 10
BEFORE = {
    ("postgresql", "one_by_one"): 128,
    ("postgresql", "at_once"): 110,
    ("sqlite", "one_by_one"): 138,
    ("sqlite", "at_once"): 120,
}
"""Changes of the file for a batch of ten messages, counted at 732992f: by engine, and by the kind of handler."""

applied: list[int] = []
one_by_one, at_once = Projection("web_bff.one_by_one"), Projection("web_bff.at_once")


@one_by_one.on(Tick)
def note(message: Received[Tick]) -> None:
    applied.append(message.payload.number)


@at_once.on_batch(Tick)
def note_all(messages: Sequence[Received[Tick]]) -> None:
    applied.extend(message.payload.number for message in messages)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with ledger_table():
        yield Wire(Ledger())


@pytest.mark.parametrize("handler", ["one_by_one", "at_once"])
class TestABatchOfTenMessages:
    def test_changes_the_file_at_most_half_as_often(
        self, handler: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that follows another: the cursor, its attempt and the subscriptions are known."""
        monkeypatch.setattr(modules.named(LISTENER), "subscriptions", (f"{__name__}.{handler}",))
        applied.clear()
        for batch in range(3):
            say("a", *range(batch * MESSAGES, (batch + 1) * MESSAGES))
            while wire.relay.step():
                pass
        *before, measured = [outgoing.body for outgoing in wire.batches]
        for body in before:
            consume.receive(LISTENER, body)

        found = walk(lambda: consume.receive(LISTENER, measured))

        assert applied == list(range(3 * MESSAGES))
        assert 2 * found.changes <= BEFORE[connections[LISTENER].vendor, handler], str(found)
