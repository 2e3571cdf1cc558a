"""Reports to the producers: how far a module's subscriptions have read their streams.

A subscriber that misses no message requests none. Without reports its producer would not know that it exists.
"""

from itertools import groupby

from pangaea import modules
from pangaea.inbox.models import Cursor
from pangaea.wire import Report


def of(module: str) -> list[Report]:
    """A report for each of the module's subscriptions and each module that it reads."""
    names = [subscription.name for subscription in modules.named(module).load_subscriptions()]
    cursors = Cursor.objects.using(module).filter(subscription__in=names).order_by("subscription", "source")
    return [
        Report(
            subscription=subscription,
            source=source,
            cursors=[(cursor.audience, cursor.partition, cursor.position) for cursor in group],
        )
        for (subscription, source), group in groupby(cursors, key=lambda cursor: (cursor.subscription, cursor.source))
    ]
