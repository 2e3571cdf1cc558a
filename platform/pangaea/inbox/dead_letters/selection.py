"""The parked messages that an operator selects for redrive or discard."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, QuerySet

from pangaea.inbox.dead_letters.key_queue import KeyQueue
from pangaea.inbox.models import DeadLetter
from pangaea.inbox.stream_key import FIELDS


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The letters of one module that match every condition that is set. `error` matches a part of the error's text."""

    module: str
    subscription: str = ""
    key: str = ""
    name: str = ""
    error: str = ""
    state: str = ""
    ids: tuple[int, ...] = ()

    def letters(self) -> "QuerySet[DeadLetter]":
        """The letters, ordered by stream, key and position."""
        fields: dict[str, Any] = {
            "subscription": self.subscription,
            "key": self.key,
            "name": self.name,
            "error__icontains": self.error,
            "state": self.state,
            "pk__in": self.ids,
        }
        conditions = {field: value for field, value in fields.items() if value}
        return DeadLetter.objects.using(self.module).filter(**conditions).order_by(*FIELDS, "key", "position")

    def queues(self) -> Iterator[tuple[KeyQueue, int]]:
        """The queues that hold a selected letter, each with the last selected position."""
        queues = self.letters().order_by().values(*FIELDS, "key").annotate(last=Max("position"))
        for queue in list(queues.order_by(*FIELDS, "key")):
            yield KeyQueue(self.module, {name: queue[name] for name in FIELDS}, queue["key"]), queue["last"]
