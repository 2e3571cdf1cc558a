"""The messages that this module publishes."""

from datetime import datetime
from typing import ClassVar

from pangaea.messages import Event


class Ticked(Event, frozen=True, kw_only=True):
    """A writer raised its count for a key by one. `at` is just before the commit."""

    wire_name: ClassVar[str] = "source.ticked"
    version: ClassVar[int] = 1

    writer: int
    number: int
    at: datetime
    filler: str
