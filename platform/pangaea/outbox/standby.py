"""Decides when a standby works although another relay leads: that relay may be frozen, or its lock may outlive it.

Two relays that work at once repeat messages at most (see `relay`).
"""

from time import monotonic
from typing import Any

from django.conf import settings
from django.db import connections

from pangaea.databases import engines
from pangaea.databases.engines.base import Holder, LeaderElection

LOOK = """
SELECT EXISTS (SELECT 1 FROM pangaea_outbox WHERE position IS NULL)
        OR sent < head OR first IS NOT NULL OR snapshots > 0,
    sent, first, answered, snapshots
FROM (SELECT coalesce(sum(sent), 0)::bigint AS sent, coalesce(sum(head), 0)::bigint AS head,
        count(snapshot_wanted) + count(snapshot_begun) AS snapshots FROM pangaea_stream) AS s,
    (SELECT min(id) AS first, sum(position - asked)::bigint AS answered FROM pangaea_catch_up_request) AS requests
"""
"""Whether messages, requests or snapshots wait, followed by values that change whenever a relay sends something."""


class Standby:
    """A standby's view of the leader's work: whether messages wait, and whether any are sent."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._progress: tuple[Any, ...] | None = None
        self._since = monotonic()
        self._leader: Holder | None = None
        self._look_for_leader_at = 0.0
        self.has_taken_over = False

    def leader(self, election: LeaderElection) -> Holder | None:
        """The leader's session, cached for RELAY_TAKEOVER, because each look reads all locks of the server."""
        if monotonic() >= self._look_for_leader_at:
            self._leader = election.leader()
            self._look_for_leader_at = monotonic() + settings.PANGAEA.relay_takeover.total_seconds()
        return self._leader

    def must_work(self) -> bool:
        """Whether messages wait and none was sent for RELAY_TAKEOVER or, after a takeover, since the last look."""
        waiting, progress = self._look()
        is_moving = progress != self._progress
        if is_moving:
            self.has_taken_over = False
        if is_moving or not waiting:
            self._progress, self._since = progress, monotonic()
            return False
        limit = 0.0 if self.has_taken_over else settings.PANGAEA.relay_takeover.total_seconds()
        return monotonic() - self._since >= limit

    def worked(self) -> None:
        """Record that this relay made a pass, so that its changes are not taken for the leader's."""
        self.has_taken_over = True
        _, self._progress = self._look()

    def _look(self) -> tuple[bool, tuple[Any, ...]]:
        ((waiting, *progress),) = engines.of(self._module).rows(connections[self._module], LOOK)
        return waiting, tuple(progress)
