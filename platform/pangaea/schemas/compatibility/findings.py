"""The direction of a comparison, and what it finds."""

from dataclasses import dataclass
from enum import Enum, StrEnum


class Effect(StrEnum):
    """What a change does to the values that a schema accepts."""

    NARROWS = "narrows"
    """It accepts less."""
    WIDENS = "widens"
    """It accepts more."""
    BOTH = "both"
    """It accepts some that it refused and refuses some that it accepted, or which of them is not known."""


class Severity(StrEnum):
    """How sure it is that a finding breaks the other side."""

    ERROR = "error"
    """A value exists that breaks it."""
    WARNING = "warning"
    """It depends on what the schemas do not show."""


class Direction(Enum):
    """What a schema describes; which side reads it, and which one changes.

    The owner of the schema is the side that changes. It reads requests and commands, and writes answers and events.
    """

    REQUEST = ("request", Effect.NARROWS, "clients that send it as before")
    RESPONSE = ("response", Effect.WIDENS, "clients that read it as before")
    COMMAND = ("command", Effect.NARROWS, "modules that send it as before, and copies of it that are under way")
    EVENT = ("event", Effect.WIDENS, "subscribers that read it as before")

    def __init__(self, word: str, breaks_on: Effect, broken: str) -> None:
        self.word = word
        """In the ids of rules."""
        self.breaks_on = breaks_on
        """The effect that breaks the other side."""
        self.broken = broken
        """Who breaks."""

    @property
    def owner_reads(self) -> bool:
        """Whether the side that changes is the reader."""
        return self.breaks_on is Effect.NARROWS

    def breaks(self, effect: Effect) -> bool:
        """Whether a change with this effect breaks the other side."""
        return effect in {self.breaks_on, Effect.BOTH}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A change that breaks the other side.

    `rule` is stable, for exceptions: where oasdiff has the rule, its id. `path` is a JSON Path (RFC 9535) into the
    values, not into the schemas. `what` is what changed, and `breaks` who breaks.
    """

    path: str
    rule: str
    what: str
    breaks: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.severity} [{self.rule}] {self.path}: {self.what}. It breaks {self.breaks}."
