"""Discard a parked message that will never be applied: record it with the reason, and free its key."""

from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from pangaea import text
from pangaea.errors import Invalid
from pangaea.inbox.dead_letters.key_queue import KeyQueue
from pangaea.inbox.dead_letters.selection import Selection
from pangaea.inbox.models import Cursor, DeadLetter, DiscardedLetter

log = structlog.get_logger()

BATCH = 1000
"""Records that one pass deletes, at most."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """The number of records that one pass deleted. `unfinished`: there may be more to delete."""

    letters: int
    unfinished: bool


def checked_reason(reason: str) -> str:
    """The reason as it is recorded. Raises Invalid if there is none, or if others could not read it (`text.prose`)."""
    try:
        checked = text.prose(reason)
    except ValidationError as error:
        raise Invalid("reason_unreadable", f"The reason cannot be recorded. {error.message}") from error
    if not checked:
        raise Invalid("reason_missing", "Give the reason: others will ask.")
    return checked


def discard(selection: Selection, *, reason: str, by: str) -> int:
    """Discard the selected letters. Returns how many were discarded. Raises Invalid as `checked_reason` does."""
    return sum(discard_letter(letter, reason=reason, by=by) for letter in selection.letters())


def discard_letter(letter: DeadLetter, *, reason: str, by: str) -> bool:
    """Remove a letter from its key's queue for good, and record reason and operator. The key's next letter is due then.

    Raises Invalid as `checked_reason` does. False if the letter has been applied or discarded since it was read.
    """
    reason = checked_reason(reason)
    queue = KeyQueue.of(letter)
    with transaction.atomic(using=queue.module):
        queue.lock()
        found = queue.letters().filter(pk=letter.pk).first()
        if found is None:
            return False
        DiscardedLetter.of(found, reason=reason, by=by).save(using=queue.module)
        found.delete()
        queue.promote(now=timezone.now())
    log.warning("dead letter discarded", **letter.facts, reason=reason, by=by)
    return True


def discard_stream(cursor: Cursor, *, reason: str, by: str) -> int:
    """Discard all letters of a cursor's stream. Returns their number. The caller holds the cursor's lock."""
    module = str(cursor._state.db)
    letters = DeadLetter.objects.using(module).filter(**cursor.stream).order_by("position")
    records = DiscardedLetter.objects.using(module)
    records.bulk_create(DiscardedLetter.of(letter, reason=reason, by=by) for letter in letters)
    discarded, _ = letters.delete()
    return discarded


def prune(module: str) -> Pruned:
    """Delete records of discarded letters that are older than DISCARDED_LETTER_RETENTION, at most BATCH of them."""
    retention: timedelta = settings.PANGAEA.discarded_letter_retention
    records = DiscardedLetter.objects.using(module)
    old = records.filter(discarded_at__lt=timezone.now() - retention).order_by("id")
    ids = list(old.values_list("pk", flat=True)[:BATCH])
    # Another worker of the module may delete the same records at the same time: each counts what it deleted.
    deleted, _ = records.filter(pk__in=ids).delete()
    if deleted:
        log.info("discarded letters deleted", module=module, letters=deleted)
    return Pruned(deleted, unfinished=len(ids) == BATCH)
