"""RabbitMQ's publisher confirms: publish any number of messages on a channel, then wait for all their confirms.

The broker numbers the messages of a channel from 1 and confirms these numbers, in any order, and several at once if it
can (https://www.rabbitmq.com/docs/confirms#publisher-confirms). Waiting for each message before publishing the next one
would cost one write to disk per message.
"""

from typing import Any
from weakref import WeakKeyDictionary

from amqp.exceptions import MessageNacked


class Confirms:
    """The confirms of one channel. A channel on which something failed is not used again."""

    def __init__(self, channel: Any) -> None:
        self._last = 0
        self._outstanding: set[int] = set()
        channel.confirm_select()
        channel.events["basic_ack"].add(self._acknowledged)
        channel.events["basic_nack"].add(self._refused)

    def expect(self) -> None:
        """Expect a confirm for the message that is published next."""
        self._last += 1
        self._outstanding.add(self._last)

    def wait(self, channel: Any, seconds: float) -> None:
        """Return when the broker has confirmed every message.

        Raises MessageNacked if the broker refuses one, and a connection error if it sends nothing for `seconds`.
        """
        while self._outstanding:
            channel.connection.drain_events(timeout=seconds)

    def _acknowledged(self, number: int, multiple: bool) -> None:  # noqa: FBT001 - py-amqp's signature
        if multiple:
            self._outstanding = {each for each in self._outstanding if each > number}
        else:
            self._outstanding.discard(number)

    def _refused(self, _number: int, _multiple: bool) -> None:  # noqa: FBT001 - py-amqp's signature
        raise MessageNacked


_confirms: WeakKeyDictionary[Any, Confirms] = WeakKeyDictionary()


def on(channel: Any) -> Confirms:
    """The confirms of this channel, which is put into confirm mode at its first use."""
    found = _confirms.get(channel)
    if found is None:
        found = _confirms[channel] = Confirms(channel)
    return found
