"""What this module does on request. It joins the transaction that its caller opened on `web_bff`."""

from collections.abc import Mapping
from uuid import UUID

import structlog
from django.utils import timezone

from modules.web_bff.acl import PlaceOrder, WantedLine
from modules.web_bff.models import Checkout
from pangaea import outbox

log = structlog.get_logger()


def check_out(*, customer_id: UUID, quantities: Mapping[str, int]) -> Checkout:
    """Accept a customer's request to order these skus, and ask orders to place it. Stock and prices are unknown here.

    The request is durable once the transaction commits: orders receives it as soon as it can, and decides.
    """
    checkout = Checkout.objects.create(customer_id=customer_id, asked_at=timezone.now())
    outbox.publish(
        PlaceOrder(
            checkout_id=checkout.id,
            customer_id=customer_id,
            lines=tuple(WantedLine(sku=sku, quantity=quantity) for sku, quantity in quantities.items()),
        ),
        key=str(checkout.id),
    )
    log.info("checkout accepted", checkout_id=str(checkout.id), customer_id=str(customer_id), lines=len(quantities))
    return checkout
