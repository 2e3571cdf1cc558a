"""The notification of relays after commits."""

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from django.db import connections, transaction

from pangaea import outbox
from pangaea.databases.engines.postgresql import direct, notifier
from pangaea.databases.engines.postgresql.notifier import Notifier
from pangaea.databases.engines.postgresql.relay_session import channel_of
from pangaea.testing import free_port, wait_until
from tests.faults import proxy
from tests.kernel.pipeline import SOURCE, Tick, say

pytestmark = [
    pytest.mark.django_db(databases=[SOURCE], transaction=True),
    pytest.mark.usefixtures("postgresql_only"),
]

CHANNEL = "pangaea_test_wake_up"


class Notifications:
    """The notifications of a channel, collected by a thread."""

    def __init__(self, channel: str) -> None:
        self.senders: list[int] = []
        self._stop = threading.Event()
        self._connection = direct.connect(SOURCE)
        self._connection.execute(f'LISTEN "{channel}"')
        self._thread = threading.Thread(target=self._collect)
        self._thread.start()

    def _collect(self) -> None:
        while not self._stop.is_set():
            self.senders += [each.pid for each in self._connection.notifies(timeout=0.05)]

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self._connection.close()


@pytest.fixture
def notifications() -> Iterator[Notifications]:
    found = Notifications(CHANNEL)
    yield found
    found.close()


@pytest.fixture
def sender() -> Iterator[Notifier]:
    notifier = Notifier(SOURCE)
    yield notifier
    notifier.close()


def woken(sender: Notifier, notifications: Notifications) -> int:
    """Wake the channel again; the number of sessions that have notified it so far."""
    sender.wake(CHANNEL)
    return len(set(notifications.senders))


def waiting() -> list[Any]:
    return connections[SOURCE].run_on_commit


class TestPublishing:
    def test_wakes_the_relay_once_the_transaction_has_committed(self) -> None:
        notifications = Notifications(channel_of(SOURCE))
        try:
            say("a", 1)
            wait_until(lambda: notifications.senders, what="a notification")
        finally:
            notifications.close()

    def test_registers_one_wake_up_for_all_messages_of_a_transaction(self) -> None:
        with transaction.atomic(using=SOURCE):
            for number in range(5):
                outbox.publish(Tick(number=number), key="a")
            assert len(waiting()) == 1

    def test_wakes_although_a_savepoint_in_between_is_rolled_back(self) -> None:
        with transaction.atomic(using=SOURCE):
            outbox.publish(Tick(number=1), key="a")
            sid = transaction.savepoint(using=SOURCE)
            outbox.publish(Tick(number=2), key="a")
            transaction.savepoint_rollback(sid, using=SOURCE)
            assert len(waiting()) == 1
        with transaction.atomic(using=SOURCE):
            sid = transaction.savepoint(using=SOURCE)
            outbox.publish(Tick(number=3), key="a")
            transaction.savepoint_rollback(sid, using=SOURCE)
            outbox.publish(Tick(number=4), key="a")
            assert len(waiting()) == 1


class TestANotifier:
    def test_joins_wake_ups_in_quick_succession(
        self, sender: Notifier, notifications: Notifications, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(notifier, "PAUSE_FACTOR", 1e9)
        started = monotonic()
        for _ in range(1000):
            sender.wake(CHANNEL)
        sender.close()
        wait_until(lambda: notifications.senders, what="a notification")
        assert len(notifications.senders) <= (monotonic() - started) / notifier.NOTIFY_MAX_PAUSE + 2

    def test_sends_pending_notifications_before_it_ends(self, sender: Notifier, notifications: Notifications) -> None:
        sender.wake(CHANNEL)
        sender.close()
        wait_until(lambda: notifications.senders, what="the last notification")

    def test_connects_again_after_its_session_was_ended(self, sender: Notifier, notifications: Notifications) -> None:
        sender.wake(CHANNEL)
        wait_until(lambda: notifications.senders, what="a notification")
        with direct.connect(SOURCE, as_role=False) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [notifications.senders[0]])
        sender.wake(CHANNEL)
        wait_until(lambda: len(set(notifications.senders)) == 2, what="a notification of another session")

    def test_costs_the_caller_nothing_while_the_database_is_away(
        self, sender: Notifier, notifications: Notifications, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(notifier, "RETRY_PAUSE", 0.01)
        with monkeypatch.context() as away:
            away.setitem(connections.settings[SOURCE], "PORT", str(free_port()))
            for _ in range(20):
                sender.wake(CHANNEL)
        wait_until(lambda: woken(sender, notifications) >= 1, what="a notification after it is back")

    def test_leaves_a_server_that_does_not_answer(
        self, sender: Notifier, notifications: Notifications, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(notifier, "REQUEST_TIMEOUT", 0.1)
        entry = connections.settings[SOURCE]
        with proxy.before(f"postgresql://{entry['HOST']}:{entry['PORT']}/", 5432) as (between, _):
            monkeypatch.setitem(entry, "PORT", str(between.port))
            sender.wake(CHANNEL)
            wait_until(lambda: notifications.senders, what="a notification")
            assert between.lose() == 1
            wait_until(lambda: woken(sender, notifications) == 2, what="a notification of another session")
            sender.close()
