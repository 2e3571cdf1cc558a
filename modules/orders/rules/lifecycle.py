"""The states of an order and the transitions between them. Pure: no database, no clock."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Status(StrEnum):
    PLACED = "placed"
    CANCELLED = "cancelled"


INITIAL = Status.PLACED

TRANSITIONS: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.PLACED: frozenset({Status.CANCELLED}),
        Status.CANCELLED: frozenset(),
    }
)
"""From each state, the states that may follow."""


def may_become(source: Status, target: Status) -> bool:
    """Whether there is a transition from `source` to `target`."""
    return target in TRANSITIONS[source]


def sources(target: Status) -> frozenset[Status]:
    """The states from which there is a transition to `target`: a compare-and-set expects one of them."""
    return frozenset(source for source in Status if may_become(source, target))
