"""A subscription and a stream that it reads: the key that the inbox's tables share."""

from typing import Any

from django.db import models

FIELDS = ("subscription", "source", "audience", "partition")


class StreamKey(models.Model):
    """A subscription and a stream that it reads, as an abstract model."""

    subscription = models.CharField(max_length=127)
    source = models.CharField(max_length=63)
    audience = models.CharField(max_length=63)
    partition = models.SmallIntegerField()

    class Meta:
        abstract = True

    # Properties

    @property
    def stream(self) -> dict[str, Any]:
        """The key as conditions for a QuerySet."""
        return {name: getattr(self, name) for name in FIELDS}

    @property
    def stream_name(self) -> str:
        """The stream without the subscription, as logs and operators see it."""
        return f"{self.source}.{self.audience}.{self.partition}"
