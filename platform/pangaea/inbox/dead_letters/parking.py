"""Parking: a message that cannot be applied becomes a dead letter, and so do later messages of its key."""

import traceback
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from pangaea.backoff import Backoff
from pangaea.errors import PoisonMessage
from pangaea.inbox.batches import Delivered
from pangaea.inbox.models import Cursor, DeadLetter

State = DeadLetter.State


def park(cursor: Cursor, message: Delivered, failure: Exception | None = None) -> None:
    """Park a message with its failure; without a failure it waits behind an earlier message of its key."""
    letter = DeadLetter(
        **cursor.stream,
        position=message.position,
        message_id=message.id,
        key=message.key,
        name=message.name,
        body=_storable(bytes(message.body).decode(errors="backslashreplace")),
    )
    if failure:
        letter.error, letter.traceback, letter.attempts = describe(failure), trace(failure), 1
        letter.state, letter.next_attempt_at = State.RETRYING, timezone.now() + pause(1)
        # One crash is no proof: the process may have ended for another reason while it handled this message.
        letter.crashes = int(isinstance(failure, PoisonMessage))
    letter.save(using=cursor._state.db)


def describe(failure: Exception) -> str:
    """The error in a few lines that every database can store: otherwise its text could prevent the parking."""
    return _storable("".join(traceback.format_exception_only(failure)).strip())


def trace(failure: Exception) -> str:
    """The error with its traceback."""
    return _storable("".join(traceback.format_exception(failure)))


def pause(attempts: int) -> timedelta:
    """The pause after this many attempts. Its jitter spreads the retries of messages that failed together."""
    first, longest = settings.PANGAEA.dead_letter_pause, settings.PANGAEA.dead_letter_pause_at_most
    return timedelta(seconds=Backoff(first.total_seconds(), longest.total_seconds()).jittered(attempts))


def _storable(text: str) -> str:
    """Text that a database accepts: no NUL and no half of a surrogate pair."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
