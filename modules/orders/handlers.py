"""The handlers of the messages that this module receives: users' events, and the commands that it accepts."""

import structlog
from django.db import transaction
from django.utils import timezone

from modules.orders import acl, commands
from modules.orders.messages import OrderRefused, PlaceOrder
from modules.orders.models import Customer
from modules.orders.rules import pricing
from pangaea import outbox
from pangaea.errors import DomainError
from pangaea.inbox.subscriptions import Projection, Reaction
from pangaea.messages import Received

log = structlog.get_logger()

customers = Projection("orders.customers", models=("Customer",))
"""The replica of the customers, kept from users' events.

No event makes a deactivated account active again, and no handler does: while the projection is replayed over its own
rows, a deactivated customer stays deactivated.
"""

checkout = Reaction("orders.checkout", begins="start")
"""Places the orders that checkouts request.

A customer's deactivation and their checkouts arrive in any order. A checkout is answered by what is known when it
arrives, as over HTTP.
"""


@customers.on(acl.UserRegistered)
def remember(message: Received[acl.UserRegistered]) -> None:
    Customer.remember(message.payload.customer_id, name=message.payload.name)


@customers.on(acl.ProfileChanged)
def rename(message: Received[acl.ProfileChanged]) -> None:
    Customer.remember(message.payload.customer_id, name=message.payload.name)


@customers.on(acl.UserDeactivated)
def deactivate(message: Received[acl.UserDeactivated]) -> None:
    Customer.remember(message.payload.customer_id, active=False)


@checkout.on(PlaceOrder)
def place(message: Received[PlaceOrder]) -> None:
    """Place the order, or publish its refusal. An error that is no DomainError parks the message."""
    requested = message.payload
    try:
        # A savepoint: a refusal rolls back the command's writes alone, so that the answer can be published.
        with transaction.atomic(using="orders"):
            commands.place_order(
                customer_id=requested.customer_id,
                quantities=pricing.by_sku([(line.sku, line.quantity) for line in requested.lines]),
                checkout_id=requested.checkout_id,
            )
    except DomainError as refusal:
        outbox.publish(
            OrderRefused(
                checkout_id=requested.checkout_id,
                customer_id=requested.customer_id,
                code=refusal.code,
                detail=refusal.message,
                refused_at=timezone.now(),
            ),
            key=str(requested.checkout_id),
        )
        log.info("order refused", checkout_id=str(requested.checkout_id), code=refusal.code)
