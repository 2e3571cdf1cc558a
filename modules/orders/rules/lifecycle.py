"""The states of an order and the ways between them. Pure: no database, no clock."""

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
    """Whether an order may go from one state straight to the other."""
    return target in TRANSITIONS[source]


def sources(target: Status) -> frozenset[Status]:
    """The states an order may be in just before `target`: what a compare-and-set expects to find."""
    return frozenset(source for source in Status if may_become(source, target))
