"""Relays as a process builds them."""

from pangaea.change_capture.requested_snapshots import RequestedSnapshots
from pangaea.outbox.relay import Relay, Sender


def relay_of(module: str, sender: Sender) -> Relay:
    """The module's relay, which publishes requested snapshots too."""
    return Relay(module, sender, snapshots=RequestedSnapshots(module))
