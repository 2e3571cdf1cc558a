"""The messages that this module publishes."""

from datetime import datetime
from typing import ClassVar

from pangaea.messages import Event


class Ticked(Event, frozen=True, kw_only=True):
    """A writer counted one further for a key. `at` is when it was about to commit."""

    wire_name: ClassVar[str] = "source.ticked"
    version: ClassVar[int] = 1

    writer: int
    number: int
    at: datetime
    filler: str
