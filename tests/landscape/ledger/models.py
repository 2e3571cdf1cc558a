"""The ledger: no constraint helps it to be right, so that what went wrong shows."""

from typing import ClassVar

from django.db import models


class Entry(models.Model):
    """One application of one tick. `id` is the order in which entries were written."""

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(max_length=64)
    writer = models.IntegerField()
    number = models.BigIntegerField()
    said_at = models.DateTimeField()
    written_at = models.DateTimeField()

    objects: ClassVar[models.Manager["Entry"]] = models.Manager()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["key", "id"])]

    def __str__(self) -> str:
        return f"{self.key} {self.writer}/{self.number}"
