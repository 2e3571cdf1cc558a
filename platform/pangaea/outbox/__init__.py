"""A module's own messages. `publish` writes one in the transaction of its change; the relay sends it later.

Public: publish.

    publish         write a message, in the transaction of the change that it describes
    models          the outbox, its streams, requests to catch up, subscribers
    limits          the limits of a message, as constraints of the outbox
    relay           sequence, send, settle
    standby         decides when a standby works although another relay leads
    batches         outgoing batches, read and joined as bytes
    announcements   when an idle stream repeats its last position
    refusals        streams whose batches the broker refused
    replay          requests to catch up, and their answers
    subscribers     the subscriptions that report to the module
    retention       how long history is kept
"""

from pangaea.outbox.publish import publish

__all__ = ["publish"]
