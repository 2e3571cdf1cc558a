"""The outbox and its streams. Every module's schema has these tables: name the module, as in `.using("orders")`."""

from collections.abc import Iterable

from django.db import models, transaction
from django.db.models import F, Q

from pangaea.messages import ALL, KEY_LENGTH
from pangaea.outbox.limits import BODY_NOT_TOO_LONG, KEY_NOT_EMPTY
from pangaea.wire import PARTITIONS, CatchUp


class OutboxMessage(models.Model):
    """A message, written in the transaction of the change that it describes. The relay later gives it a position.

    `id` orders only the rows of one key. It is drawn before the commit, so a row of another key with a smaller id may
    be committed later.
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
            models.UniqueConstraint(fields=["audience", "partition", "position"], name="pangaea_outbox_position_once"),
            models.CheckConstraint(
                condition=Q(partition__isnull=True, position__isnull=True)
                | Q(partition__isnull=False, position__gte=1),
                name="pangaea_outbox_sequenced_whole",
            ),
            KEY_NOT_EMPTY,
            BODY_NOT_TOO_LONG,
        ]
        indexes = [models.Index(fields=["id"], condition=Q(position__isnull=True), name="pangaea_outbox_unsequenced")]

    def __str__(self) -> str:
        return f"{self.name} {self.message_id}"


class Stream(models.Model):
    """One partition of a module's messages to one audience: positions 1 to `head`, sent up to `sent`.

    `sent_id` is the id of the message at `sent`. Messages up to `floor` are deleted; `floor_id` is the id of the last
    of them. The last complete snapshot for subscribers begins after `snapshot_from` and ends at `snapshot_until`. A
    snapshot in progress began after `snapshot_begun`. A requested snapshot must begin after `snapshot_wanted`.
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
                condition=Q(sent__lte=F("head")) & Q(floor__lte=models.F("sent")), name="pangaea_stream_in_order"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.audience}.{self.partition}"

    @staticmethod
    def provide(module: str, audiences: Iterable[str]) -> None:
        """Create missing streams of these audiences. From then on they are announced."""
        streams = Stream.objects.using(module)
        known = set(streams.values_list("audience", flat=True).distinct())
        if missing := set(audiences) - known:
            streams.bulk_create(
                [
                    Stream(audience=audience, partition=partition, partitions=PARTITIONS)
                    for audience in sorted(missing)
                    for partition in range(PARTITIONS)
                ],
                # DO NOTHING would also ignore an id that is in use, and leave the stream missing.
                update_conflicts=True,
                unique_fields=["audience", "partition"],
                update_fields=["audience"],
            )

    @staticmethod
    def locked(streams: "models.QuerySet[Stream]") -> "models.QuerySet[Stream]":
        """These streams, locked until the transaction ends. All code locks streams in id order, to avoid deadlocks."""
        ids = list(streams.select_for_update().order_by("pk").values_list("pk", flat=True))
        return Stream.objects.using(streams.db).filter(pk__in=ids)

    @staticmethod
    def request_snapshot(module: str, request: CatchUp) -> None:
        """Record that a subscriber needs a snapshot that began after a position, unless one exists or is in progress.

        A request for a position above the floor is ignored: no subscription begins there, and each repetition would
        cause another snapshot.
        """
        if request.audience != ALL:
            return
        below = Stream.objects.using(module).filter(partition=request.partition, floor__gte=request.snapshot_after)
        lacking = below.filter(audience=ALL).exclude(snapshot_from__gte=request.snapshot_after)
        with transaction.atomic(using=module):
            locked = Stream.locked(lacking.exclude(snapshot_begun__gte=request.snapshot_after))
            locked.update(snapshot_wanted=request.snapshot_after)

    @staticmethod
    def begin_snapshot(module: str) -> bool:
        """Begin a snapshot after the present heads; False if one is in progress. Call it in a transaction."""
        streams = Stream.objects.using(module).filter(audience=ALL)
        if any(stream.snapshot_begun is not None for stream in streams.select_for_update().order_by("id")):
            return False
        streams.update(snapshot_begun=F("head"), snapshot_wanted=None)
        return True

    @staticmethod
    def finish_snapshot(module: str) -> None:
        """Record that the snapshot in progress is complete and ends at the present heads."""
        with transaction.atomic(using=module):
            begun = Stream.objects.using(module).filter(audience=ALL, snapshot_begun__isnull=False)
            locked = Stream.locked(begun)
            locked.update(snapshot_from=F("snapshot_begun"), snapshot_until=F("head"), snapshot_begun=None)

    @property
    def has_open_snapshot(self) -> bool:
        """Whether a snapshot is requested or in progress."""
        return self.snapshot_wanted is not None or self.snapshot_begun is not None


class CatchUpRequest(models.Model):
    """A subscription's request for all messages of a stream after its cursor; answered batch by batch, then deleted.

    `asked` and `asked_id` are the cursor's position and id at the request. `question` is the request's number; None if
    the subscriber's version sends none. `position` is the last position of the answers so far.
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


class Subscriber(models.Model):
    """A subscription that reads one of the module's streams, and the position that it reported last."""

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
