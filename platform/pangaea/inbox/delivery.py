"""A batch on its way to one subscription, as a whole or in parts."""

from collections.abc import Iterator

from msgspec.structs import replace

from pangaea.inbox.batches import Delivered
from pangaea.inbox.retrying import Tries
from pangaea.inbox.subscriptions import Subscription
from pangaea.wire import Batch


class Delivery:
    """A batch or a part of one, its messages, and the subscription that they are delivered to.

    All parts of a batch share its `tries`: the time that the batch may spend on retries of its database.
    """

    __slots__ = ("batch", "messages", "module", "stream", "subscription", "tries")

    def __init__(
        self, subscription: Subscription, batch: Batch, messages: list[Delivered], tries: Tries | None = None
    ) -> None:
        self.subscription, self.batch, self.messages = subscription, batch, messages
        self.module = subscription.module
        self.stream = (subscription.name, batch.source, batch.audience, batch.partition)
        self.tries = tries or Tries.begin(subscription.module, is_of_shadow=subscription.is_shadow)

    def halves(self) -> "Iterator[Delivery]":
        """Its messages in two deliveries, in order."""
        middle = len(self.messages) // 2
        yield self._part(0, middle)
        yield self._part(middle, len(self.messages))

    def one_by_one(self) -> "Iterator[Delivery]":
        """Its messages, each in its own delivery, in order."""
        for index in range(len(self.messages)):
            yield self._part(index, index + 1)

    def _part(self, begin: int, end: int) -> "Delivery":
        messages = self.messages[begin:end]
        before = self.messages[begin - 1].id if begin else self.batch.before
        bodies = [message.body for message in messages]
        batch = replace(self.batch, first=messages[0].position, before=before, messages=bodies)
        return Delivery(self.subscription, batch, messages, self.tries)
