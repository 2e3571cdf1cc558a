"""What a module says. `publish` writes a message in the transaction that made it true; the relay carries it out later.

models    the outbox, its streams, requests to catch up
publish   the one way in
requested_snapshots   snapshots for subscribers that begin where the history does
relay     sequence, send, settle
"""

from pangaea.outbox.publish import publish

__all__ = ["publish"]
