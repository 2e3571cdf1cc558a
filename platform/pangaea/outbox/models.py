"""The outbox and its streams. Every module's schema has these tables; always say which: `.using("orders")`."""

from collections.abc import Iterable

from django.db import models
from django.db.models import Q

from pangaea.messages import KEY_LENGTH
from pangaea.outbox.limits import BODY_NOT_TOO_LONG, KEY_NOT_EMPTY
from pangaea.wire import PARTITIONS


class OutboxMessage(models.Model):
    """A message as it was written beside the state it tells of. It gets its place in a stream from the relay, later.

    `id` only orders the rows of one key: it is drawn before commit, so of two keys the smaller one may appear later.
    """

    id = models.BigAutoField(primary_key=True)
    message_id = models.UUIDField(unique=True)
    audience = models.CharField(max_length=63)
    key = models.CharField(max_length=KEY_LENGTH)
    name = models.CharField(max_length=127)
    body = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    partition = models.SmallIntegerField(null=True)
    position = models.BigIntegerField(null=True)

    class Meta:
        db_table = "pangaea_outbox"
        constraints = [
            models.UniqueConstraint(fields=["audience", "partition", "position"], name="pangaea_outbox_place"),
            models.CheckConstraint(
                condition=Q(partition__isnull=True, position__isnull=True)
                | Q(partition__isnull=False, position__gte=1),
                name="pangaea_outbox_placed_whole",
            ),
            KEY_NOT_EMPTY,
            BODY_NOT_TOO_LONG,
        ]
        indexes = [models.Index(fields=["id"], condition=Q(position__isnull=True), name="pangaea_outbox_unplaced")]

    def __str__(self) -> str:
        return f"{self.name} {self.message_id}"


class Stream(models.Model):
    """One partition of what a module says to one audience: positions 1 to `head`, of which `sent` have gone out.

    `sent_id` is the id of the message at `sent`. Messages up to `floor` are gone; `floor_id` is the id of the last one.
    The last whole snapshot that a subscriber asked for lies after `snapshot_from` and up to `snapshot_until`. One under
    way began after `snapshot_begun`; `snapshot_wanted` is the position after which the next one must begin.
    """

    id = models.BigAutoField(primary_key=True)
    audience = models.CharField(max_length=63)
    partition = models.SmallIntegerField()
    partitions = models.SmallIntegerField()
    head = models.BigIntegerField(default=0)
    sent = models.BigIntegerField(default=0)
    sent_id = models.UUIDField(null=True)
    floor = models.BigIntegerField(default=0)
    floor_id = models.UUIDField(null=True)
    snapshot_from = models.BigIntegerField(null=True)
    snapshot_until = models.BigIntegerField(null=True)
    snapshot_begun = models.BigIntegerField(null=True)
    snapshot_wanted = models.BigIntegerField(null=True)

    class Meta:
        db_table = "pangaea_stream"
        constraints = [
            models.UniqueConstraint(fields=["audience", "partition"], name="pangaea_stream_once"),
            models.CheckConstraint(
                condition=Q(sent__lte=models.F("head")) & Q(floor__lte=models.F("sent")), name="pangaea_stream_in_order"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.audience}.{self.partition}"

    @staticmethod
    def provide(module: str, audiences: Iterable[str]) -> None:
        """Create the streams of these audiences that the module does not have. From then on they are announced."""
        streams = Stream.objects.using(module)
        known = set(streams.values_list("audience", flat=True).distinct())
        if missing := set(audiences) - known:
            streams.bulk_create(
                [
                    Stream(audience=audience, partition=partition, partitions=PARTITIONS)
                    for audience in sorted(missing)
                    for partition in range(PARTITIONS)
                ],
                ignore_conflicts=True,
            )

    @staticmethod
    def locked(streams: "models.QuerySet[Stream]") -> "models.QuerySet[Stream]":
        """These streams, locked until the transaction ends, in the order in which all lock them: none can deadlock."""
        ids = list(streams.select_for_update().order_by("pk").values_list("pk", flat=True))
        return Stream.objects.using(streams.db).filter(pk__in=ids)


class CatchUpRequest(models.Model):
    """A subscription that asked for everything after `position` of a stream; served batch by batch, then deleted.

    `asked` and `asked_id` are the cursor at the request, `question` is the request's number, None from a subscriber
    that numbers none; `position` is how far it has been served.
    """

    id = models.BigAutoField(primary_key=True)
    subscription = models.CharField(max_length=127)
    audience = models.CharField(max_length=63)
    partition = models.SmallIntegerField()
    asked = models.BigIntegerField()
    asked_id = models.UUIDField(null=True)
    question = models.BigIntegerField(null=True)
    position = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "pangaea_catch_up_request"
        constraints = [
            models.UniqueConstraint(fields=["subscription", "audience", "partition"], name="pangaea_catch_up_once")
        ]

    def __str__(self) -> str:
        return f"{self.subscription} from {self.audience}.{self.partition} at {self.position}"


class Snapshot(models.Model):
    """How far the last snapshot of a capture has come: all rows up to the primary key `after` are published."""

    capture = models.CharField(max_length=127, primary_key=True)
    after = models.TextField(null=True)  # noqa: DJ001 - null is before the first row, and "" may be a primary key
    rows = models.BigIntegerField(default=0)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "pangaea_snapshot"

    def __str__(self) -> str:
        return f"{self.capture}: {self.rows} rows"


class Subscriber(models.Model):
    """A subscription that reads one of the module's streams, and how far it had come when it last reported."""

    id = models.BigAutoField(primary_key=True)
    subscription = models.CharField(max_length=127)
    audience = models.CharField(max_length=63)
    partition = models.SmallIntegerField()
    position = models.BigIntegerField()
    reported_at = models.DateTimeField()

    class Meta:
        db_table = "pangaea_subscriber"
        constraints = [
            models.UniqueConstraint(fields=["audience", "partition", "subscription"], name="pangaea_subscriber_once")
        ]

    def __str__(self) -> str:
        return f"{self.subscription} on {self.audience}.{self.partition} at {self.position}"
