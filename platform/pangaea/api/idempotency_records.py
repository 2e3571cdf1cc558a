"""The requests that succeeded under an Idempotency-Key, with their answers. Name the module: `.using("orders")`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from typing import Any, cast
from uuid import UUID

import structlog
from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Q
from django.http import HttpResponse
from django.utils import timezone

from pangaea.databases.rows import columns

log = structlog.get_logger()

RESOURCE_RETENTION = timedelta(days=30)
"""How long a key is known. Afterwards a request with it is a new one."""
BATCH = 1000
"""Rows that one transaction changes or deletes, at most."""


class IdempotencyRecord(models.Model):
    """A request that succeeded. It is written in the transaction of the request's effects.

    `operation` is the method and the route, like `POST api/v1/orders/<id:order_id>/cancel`; the key belongs to it and
    to the `subject`. `resource` is the path of what the request made or changed. `status`, `headers` and `body` are the
    answer, null once it has expired. `replays` counts the repeats.
    """

    id = models.BigAutoField(primary_key=True)
    subject = models.UUIDField()
    operation = models.CharField(max_length=255)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    resource = models.TextField()
    status = models.SmallIntegerField(null=True)
    headers = models.JSONField(null=True)
    body = models.BinaryField(null=True)
    replays = models.IntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "pangaea_idempotency"
        constraints = [
            # The subject first: this index also finds all that is recorded of one.
            models.UniqueConstraint(fields=["subject", "operation", "key"], name="pangaea_idempotency_once"),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(status__isnull=False), name="pangaea_idempotency_answers")]

    def __str__(self) -> str:
        return f"{self.operation} of {self.subject}"

    # Mutators

    def count_replay(self) -> None:
        """Count one repeat more."""
        type(self).objects.using(self._state.db).filter(pk=self.pk).update(replays=F("replays") + 1)

    # Queries

    @classmethod
    def lookup(
        cls, connection: BaseDatabaseWrapper, *, subject: UUID, operation: str, key: str
    ) -> tuple[str, tuple[Any, ...]]:
        """The statement that selects `columns` of the record, and its parameters."""
        sql = f"SELECT {columns(cls)} FROM pangaea_idempotency WHERE subject = %s AND operation = %s AND key = %s"  # noqa: S608 - names of ours
        field = cast("models.UUIDField[UUID, UUID]", cls._meta.get_field("subject"))
        return sql, (field.get_db_prep_value(subject, connection), operation, key)

    # Properties

    @property
    def answer(self) -> HttpResponse | None:
        """The answer as it was sent; None once it has expired."""
        if self.status is None:
            return None
        response = HttpResponse(bytes(self.body or b""), status=self.status)
        # Without the type that Django presumes: an answer without a body has none.
        del response.headers["Content-Type"]
        for name, value in (self.headers or {}).items():
            response.headers[name] = value
        return response


@dataclass(frozen=True, slots=True)
class Pruned:
    """The number of answers that one pass emptied, and of keys that it deleted. `unfinished`: there may be more."""

    answers: int
    keys: int
    unfinished: bool


def prune(module: str) -> Pruned:
    """Empty answers older than IDEMPOTENCY_RETENTION, and delete keys older than RESOURCE_RETENTION, BATCH of each."""
    rows = IdempotencyRecord.objects.using(module)
    late = _older_than(rows.filter(status__isnull=False), settings.PANGAEA.idempotency_retention)
    answers = rows.filter(pk__in=late, status__isnull=False).update(status=None, headers=None, body=None)
    forgotten = _older_than(rows.all(), RESOURCE_RETENTION)
    keys, _ = rows.filter(pk__in=forgotten).delete()
    if answers or keys:
        log.info("idempotency records pruned", module=module, answers=answers, keys=keys)
    return Pruned(answers, keys, unfinished=BATCH in {len(late), len(forgotten)})


def _older_than(rows: "models.QuerySet[IdempotencyRecord]", age: timedelta) -> Sequence[int]:
    """The ids of the oldest rows, at most BATCH, up to the first that is younger: ids grow with time, nearly."""
    before = timezone.now() - age
    oldest = rows.order_by("pk").values_list("pk", "created_at")[:BATCH]
    return [pk for pk, _ in takewhile(lambda row: row[1] < before, oldest)]
