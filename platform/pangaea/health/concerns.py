"""Conditions that need an operator, each a sentence with the remedy, for `manage.py streams --check` and the admin.

A condition that a retry or another instance may resolve is listed only once its limit has passed.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from pangaea.databases import sequences
from pangaea.databases.engines.base import OldTransaction
from pangaea.health.states import is_older, is_stalled
from pangaea.health.stream_status import CursorStatus, ModuleStatus, SubscriptionStatus
from pangaea.inbox.models import Cursor


def of(statuses: Iterable[ModuleStatus], *, max_lag: int | None = None, max_age: timedelta | None = None) -> list[str]:
    """The conditions in these modules that need an operator. For a limit that is None, the setting CHECK_… applies."""
    limit_of_lag = settings.PANGAEA.check_lag_at_most if max_lag is None else max_lag
    limit_of_age = settings.PANGAEA.check_unsent_at_most if max_age is None else max_age
    concerns: dict[str, None] = {}
    for status in statuses:
        if status.unreadable:
            concerns[f"{status.label} cannot be read: {status.unreadable}"] = None
            continue
        if status.is_read_only:
            concerns[_READ_ONLY.format(status.label)] = None
        concerns |= dict.fromkeys(_of_sending(status, limit_of_age))
        for subscription in status.subscriptions:
            concerns |= dict.fromkeys(_of_subscription(status, subscription, limit_of_lag))
        concerns |= dict.fromkeys(f"{each} {sequences.REMEDY}" for each in status.late_sequences)
        concerns |= dict.fromkeys(_of_queues(status))
        if status.sessions_failure:
            concerns[f"Whether transactions are open for long is not known: {status.sessions_failure}"] = None
        concerns |= dict.fromkeys(_of_transaction(each) for each in status.old_transactions)
    return list(concerns)


_READ_ONLY = (
    "The database of {} is read-only, so nothing is published or applied: is it a standby, or is "
    "default_transaction_read_only set?"
)


def _of_sending(status: ModuleStatus, limit: timedelta) -> Iterator[str]:
    if is_older(status.oldest_unsent, limit):
        yield (
            f"{status.label} has not sent what it published {_age(status.oldest_unsent)} ago ({status.backlog} "
            f"messages wait): is a relay of {status.label} running, and does it reach the broker?"
        )


def _of_subscription(status: ModuleStatus, subscription: SubscriptionStatus, max_lag: int) -> Iterator[str]:
    name = subscription.name
    if not subscription.declared:
        yield (
            f"{name} has cursors, and no module of this process declares it: declare it again, or remove its cursors "
            f"with `manage.py streams forget {name} --reason=WHY`."
        )
        return
    for state in subscription.states:
        if state != Cursor.State.ACTIVE:
            stopped = [_stream(each) for each in subscription.cursors if each.state == state]
            yield f"{name} has stopped on {', '.join(stopped)}, {state.label}: {subscription.remedy}."
    if subscription.dead:
        yield (
            f"{name} has {_counted(subscription.dead, 'dead letter')} among "
            f"{_counted(subscription.parked, 'parked message')}: redrive or discard, "
            f"`manage.py deadletters list --subscription={name}`."
        )
    if is_older(subscription.oldest_retried, settings.PANGAEA.check_retried_at_most):
        yield (
            f"{name} has retried a parked message for {_age(subscription.oldest_retried)}: see its error, "
            f"`manage.py deadletters list --subscription={name} --state=retrying`."
        )
    if subscription.lag > max_lag:
        yield f"{name} lags by {subscription.lag} messages: its worker does not keep up; see QUEUES_PER_MODULE."
    yield from _of_stalled_cursors(status, subscription)


def _of_stalled_cursors(status: ModuleStatus, subscription: SubscriptionStatus) -> Iterator[str]:
    name = subscription.name
    stalled = [each for each in (*subscription.cursors, *subscription.not_begun) if each.lag and is_stalled(each)]
    if stalled:
        worst = min(stalled, key=lambda each: each.waiting_since or timezone.now())
        streams = ", ".join(map(_stream, stalled))
        yield (
            f"{name} has taken nothing from {streams} for {_age(worst.waiting_since)}, and messages wait there: is a "
            f"worker of {status.label} running, or does a handler hang, and is a relay of {worst.source} running?"
        )
    for source in sorted({each.source for each in subscription.cursors if each.awaits_snapshot and is_stalled(each)}):
        yield (
            f"{name} still waits for a snapshot of what {source} has deleted: is a relay of {source} running, and what "
            "does its log show of the snapshot?"
        )


def _stream(cursor: CursorStatus) -> str:
    return f"{cursor.source}.{cursor.audience}.{cursor.partition}"


def _of_queues(status: ModuleStatus) -> Iterator[str]:
    if status.broker_failure:
        yield f"The broker does not answer: {status.broker_failure}"
    for queue in status.queues:
        if not queue.exists:
            yield f"The queue {queue.name} is missing: a worker or a relay of {queue.module} declares it."
        elif queue.is_left_over and queue.consumers:
            yield (
                f"A worker consumes {queue.name}, so its QUEUES_PER_MODULE is not "
                f"{settings.PANGAEA.queues_per_module}: start all workers and relays of the module with one value."
            )
        elif queue.consumers == 0 and not queue.is_left_over:
            yield (
                f"No worker consumes {queue.name}, where {_counted(queue.batches, 'batch', 'batches')} wait: "
                f"start one with `manage.py worker --module {queue.module}`."
            )


def _of_transaction(old: OldTransaction) -> str:
    if old.age is None:
        return (
            f"A transaction in {old.holder}, is {old.behind} transactions old and slows every pass: end it. GRANT "
            "pg_read_all_stats to this user to see since when."
        )
    return (
        f"A transaction is open for {old.age.total_seconds():.0f} s in {old.holder}, and slows every pass: let it end, "
        "or end it with pg_terminate_backend."
    )


def _age(moment: datetime | None) -> str:
    return f"{(timezone.now() - moment).total_seconds():.0f} s" if moment else "0 s"


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one}" if number == 1 else f"{number} {many or f'{one}s'}"
