"""The progress of the snapshots of a module's captures. Name the module, as in `.using("orders")`."""

from django.db import models
from django.utils import timezone


class Snapshot(models.Model):
    """The progress of a capture's last snapshot: all rows up to the primary key `after` are published."""

    capture = models.CharField(max_length=127, primary_key=True)
    after = models.TextField(null=True)  # noqa: DJ001 - null is before the first row, and "" may be a primary key
    rows = models.BigIntegerField(default=0)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "pangaea_snapshot"

    def __str__(self) -> str:
        return f"{self.capture}: {self.rows} rows"

    @classmethod
    def begin(cls, capture: str, *, module: str) -> "Snapshot":
        """Begin a snapshot of this capture at its first row, whatever an earlier snapshot has published."""
        start = {"after": None, "rows": 0, "started_at": timezone.now(), "finished_at": None}
        snapshot, _ = cls.objects.using(module).update_or_create(capture=capture, defaults=start)
        return snapshot
