"""The words for states, each with its meaning and colour: the CLI, the admin and docs/states.md use these alone.

Red means that the state waits for a person, and `streams --check` then names it. A state may wait for a person from its
beginning, or once a limit has passed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from django.conf import settings
from django.utils import timezone

from pangaea.broker.queue_status import QueueStatus
from pangaea.health.stream_status import CursorStatus, ModuleStatus, SubscriptionStatus
from pangaea.inbox.models import Cursor, DeadLetter

ALWAYS = "always"


class Colour(Enum):
    """How a state is shown, where colours can be."""

    RED = "red"
    YELLOW = "yellow"
    GREEN = "green"
    GREY = "grey"


@dataclass(frozen=True, slots=True)
class State:
    """One word for one state. `needs_person`: ALWAYS, never (empty), or after the limit that these settings give."""

    word: str
    meaning: str
    colour: Colour
    needs_person: str = ""

    @property
    def value(self) -> str:
        """The word as `--json`, `--state` and log lines spell it."""
        return self.word.replace(" the ", " ").replace(" ", "_")


class Shown(NamedTuple):
    """A present state. `is_late`: its limit has passed."""

    state: State
    is_late: bool = False

    @property
    def colour(self) -> Colour:
        return Colour.RED if self.is_late else self.state.colour

    def __str__(self) -> str:
        return self.state.word


def _of_person(word: str, meaning: str) -> State:
    return State(word, meaning, Colour.RED, ALWAYS)


UNREADABLE = _of_person("unreadable", "the module's database does not answer, or refuses")

SENT = State("sent", "all that was published is sent", Colour.GREEN)
WAITING = State("waiting", "messages wait to be sent", Colour.YELLOW, "CHECK_UNSENT_AT_MOST")

UNDECLARED = _of_person("undeclared", "it has cursors, and no module of this process declares it")
DIVERGED = _of_person(Cursor.State.DIVERGED.label, "it has stopped: the producer's history is another")
BELOW_FLOOR = _of_person(
    Cursor.State.BELOW_FLOOR.label, "it has stopped: the producer has deleted the messages that come next"
)
DEAD = _of_person(DeadLetter.State.DEAD.label, "a message is no longer retried: redrive or discard it")
RETRYING = State(
    DeadLetter.State.RETRYING.label,
    "a message that could not be applied is retried automatically",
    Colour.YELLOW,
    "CHECK_RETRIED_AT_MOST",
)
AWAITS_SNAPSHOT = State(
    "awaits a snapshot",
    "it began where the history does, and waits for a snapshot of what was deleted",
    Colour.YELLOW,
    "CHECK_STILL_AT_MOST",
)
LAGGING = State(
    "lagging",
    "messages wait that it has not taken",
    Colour.YELLOW,
    "CHECK_STILL_AT_MOST, CHECK_LAG_AT_MOST",
)
ACTIVE = State(Cursor.State.ACTIVE.label, "it has taken all messages that it knows of", Colour.GREEN)
NOT_BEGUN = State("not begun", "it has received nothing yet", Colour.GREY)

BEHIND = State(DeadLetter.State.BEHIND.label, "it waits behind an earlier message of its key", Colour.GREY)

MISSING = _of_person("missing", "the broker does not have the queue")
UNCONSUMED = _of_person("unconsumed", "no worker consumes the queue")
CONSUMED = State("consumed", "a worker consumes the queue", Colour.GREEN)
OF_OTHER_SETTINGS = _of_person("of other settings", "a worker with another QUEUES_PER_MODULE consumes the queue")
LEFT_OVER = State(
    "left over", "the queue is of another QUEUES_PER_MODULE, and is deleted after QUEUE_EXPIRY", Colour.GREY
)
UNKNOWN = State("unknown", "Redis does not know which workers read a list", Colour.GREY)

STREAMS = (WAITING, SENT)
SUBSCRIPTIONS = (
    UNDECLARED,
    DIVERGED,
    BELOW_FLOOR,
    DEAD,
    RETRYING,
    AWAITS_SNAPSHOT,
    LAGGING,
    ACTIVE,
    NOT_BEGUN,
)
"""The worst first: of several that apply, the first is shown."""
LETTERS = (DEAD, RETRYING, BEHIND)
QUEUES = (MISSING, UNCONSUMED, OF_OTHER_SETTINGS, CONSUMED, LEFT_OVER, UNKNOWN)

_STOPPED = {Cursor.State.DIVERGED: DIVERGED, Cursor.State.BELOW_FLOOR: BELOW_FLOOR}


def of_stream(waiting: int, oldest_unsent: datetime | None) -> Shown:
    """The state of a module's streams with this many unsent messages."""
    if not waiting:
        return Shown(SENT)
    return Shown(WAITING, is_late=is_older(oldest_unsent, settings.PANGAEA.check_unsent_at_most))


def of_subscription(subscription: SubscriptionStatus) -> Shown:
    """The worst state of a subscription on any of its streams."""
    if not subscription.declared:
        return Shown(UNDECLARED)
    found = [_of_cursor(each) for each in (*subscription.cursors, *subscription.not_begun)]
    if subscription.lag > settings.PANGAEA.check_lag_at_most:
        found.append(Shown(LAGGING, is_late=True))
    return _worst(found)


def of_cursor(cursor: CursorStatus, *, declared: bool) -> Shown:
    """The state of a subscription on one stream."""
    return _of_cursor(cursor) if declared else Shown(UNDECLARED)


def of_letters(states: Iterable[str]) -> list[State]:
    """The states of parked messages, the worst first."""
    present = set(states)
    return [state for state in LETTERS if state.value in present]


def of_letter(state: str, parked_at: datetime) -> Shown:
    """The state of a parked message."""
    (found,) = of_letters([state])
    is_late = found is RETRYING and is_older(parked_at, settings.PANGAEA.check_retried_at_most)
    return Shown(found, is_late=is_late)


def of_queue(queue: QueueStatus) -> Shown:
    """The state of a queue."""
    if not queue.exists:
        return Shown(MISSING)
    if queue.is_left_over:
        return Shown(OF_OTHER_SETTINGS if queue.consumers else LEFT_OVER)
    if queue.consumers is None:
        return Shown(UNKNOWN)
    return Shown(CONSUMED if queue.consumers else UNCONSUMED)


def worst(statuses: Iterable[ModuleStatus]) -> Shown | None:
    """One of the states that wait for a person in these modules; None if no state does."""
    shown = []
    for status in statuses:
        if status.unreadable:
            shown.append(Shown(UNREADABLE))
            continue
        if status.is_read_only:
            shown.append(Shown(UNREADABLE))
        shown.append(of_stream(status.backlog, status.oldest_unsent))
        shown += [of_subscription(each) for each in status.subscriptions]
        shown += [of_queue(each) for each in status.queues]
    return next((each for each in shown if each.colour is Colour.RED), None)


def is_stalled(cursor: CursorStatus) -> bool:
    """Whether messages, or a snapshot, have waited for this cursor longer than CHECK_STILL_AT_MOST."""
    is_active = cursor.state == Cursor.State.ACTIVE
    return is_active and is_older(cursor.waiting_since, settings.PANGAEA.check_still_at_most)


def is_older(moment: datetime | None, limit: timedelta) -> bool:
    """Whether this moment is longer ago than the limit."""
    return moment is not None and timezone.now() - moment > limit


def _of_cursor(cursor: CursorStatus) -> Shown:
    if cursor.state in _STOPPED:
        return Shown(_STOPPED[cursor.state])
    found = []
    if cursor.dead:
        found.append(Shown(DEAD))
    if cursor.oldest_retried:
        is_late = is_older(cursor.oldest_retried, settings.PANGAEA.check_retried_at_most)
        found.append(Shown(RETRYING, is_late=is_late))
    if cursor.awaits_snapshot:
        found.append(Shown(AWAITS_SNAPSHOT, is_late=is_stalled(cursor)))
    if cursor.lag:
        found.append(Shown(LAGGING, is_late=is_stalled(cursor)))
    return _worst(found or [Shown(ACTIVE)])


def _worst(found: list[Shown]) -> Shown:
    """The first of those that wait for a person; if none does, the first of all."""
    ordered = sorted(found, key=lambda each: (each.colour is not Colour.RED, SUBSCRIPTIONS.index(each.state)))
    return ordered[0] if ordered else Shown(NOT_BEGUN)
