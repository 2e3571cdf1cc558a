"""A relay's session: a module's only relay always leads, and every commit that changed something wakes it."""

import threading

from pangaea.databases.engines.base import Holder, LeaderElection, RelaySession, RelayWakeup

_events: dict[str, threading.Event] = {}
_guard = threading.Lock()


def open_relay_session(alias: str) -> RelaySession:
    """A relay's session, which holds no connection: closing it does nothing."""
    return RelaySession(Uncontested(), WakeupInProcess(alias), close=lambda: None)


def wake(alias: str) -> None:
    """Wake a module's relay in this process."""
    _event(alias).set()


def _event(alias: str) -> threading.Event:
    with _guard:
        return _events.setdefault(alias, threading.Event())


class Uncontested(LeaderElection):
    """The election of a module's only relay."""

    def lead(self) -> bool:
        return True

    def leader(self) -> Holder | None:
        return None


class WakeupInProcess(RelayWakeup):
    """Waits for the module's event in this process."""

    def __init__(self, alias: str) -> None:
        self._event = _event(alias)

    def listen(self) -> None:
        """Do nothing: the event exists already."""

    def wait(self, seconds: float) -> bool:
        is_woken = self._event.wait(seconds)
        self._event.clear()
        return is_woken
