"""The ledger, without constraints, so that loss, repetition and wrong order show in its rows."""

from typing import ClassVar

from django.db import models


class Entry(models.Model):
    """One application of one tick. `id` is the order in which entries were written."""

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(max_length=64)
    writer = models.IntegerField()
    number = models.BigIntegerField()
    published_at = models.DateTimeField()
    written_at = models.DateTimeField()

    objects: ClassVar[models.Manager["Entry"]] = models.Manager()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["key", "id"])]

    def __str__(self) -> str:
        return f"{self.key} {self.writer}/{self.number}"
