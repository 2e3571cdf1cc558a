"""A read model of a usual size: one row per key."""

from typing import ClassVar

from django.db import models


class Balance(models.Model):
    """How many ticks a key has had, and the last of them."""

    key = models.CharField(max_length=64, primary_key=True)
    count = models.BigIntegerField()
    last = models.BigIntegerField()
    published_at = models.DateTimeField()

    objects: ClassVar[models.Manager["Balance"]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.key}: {self.count}"
