"""The limits of an order, and its price. Pure: no database, no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pangaea.errors import Invalid
from pangaea.messages import Money

MAX_LINES = 50
MAX_QUANTITY = 1_000
MAX_SKU = 64
MAX_PRICE = 10**11
"""In minor units. MAX_LINES x MAX_QUANTITY x MAX_PRICE is below 2**53, so every total is exact in JSON clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedLine:
    """A product with its quantity and its unit price."""

    sku: str
    name: str
    quantity: int
    unit_price: Money

    @property
    def amount(self) -> Money:
        """The price of the whole line."""
        return Money(self.unit_price.amount * self.quantity, self.unit_price.currency)


def by_sku(lines: Sequence[tuple[str, int]]) -> dict[str, int]:
    """The quantities of (sku, quantity) lines, in their order.

    Raises Invalid: `invalid_order` for a product in two lines, `unknown_sku` for text that cannot be a sku and that a
    database might not accept.
    """
    quantities: dict[str, int] = {}
    for sku, quantity in lines:
        if len(sku) > MAX_SKU or not sku.isprintable():
            shown = sku[:MAX_SKU]
            raise Invalid("unknown_sku", f"There is no product {shown!r} for sale.", sku=shown)
        if sku in quantities:
            raise Invalid("invalid_order", f"{sku} is in two lines. Add the quantities up in one.", sku=sku)
        quantities[sku] = quantity
    return quantities


def check_quantities(quantities: Mapping[str, int]) -> None:
    """Refuse an order of no lines, of too many, or with a quantity outside 1 to MAX_QUANTITY (`invalid_order`)."""
    if not 1 <= len(quantities) <= MAX_LINES:
        raise Invalid("invalid_order", f"An order has 1 to {MAX_LINES} lines; this one has {len(quantities)}.")
    for sku, quantity in quantities.items():
        if not 1 <= quantity <= MAX_QUANTITY:
            message = f"The quantity of {sku} must be from 1 to {MAX_QUANTITY}; it is {quantity}."
            raise Invalid("invalid_order", message, sku=sku)


def total(lines: Sequence[PricedLine]) -> Money:
    """The sum of the lines' amounts.

    Raises Invalid: `invalid_order` when there is no line, `mixed_currencies` when their prices are in more than one
    currency, because no rate of exchange is known here.
    """
    currencies = sorted({line.unit_price.currency for line in lines})
    if not currencies:
        raise Invalid("invalid_order", "An order without lines has no total.")
    if len(currencies) > 1:
        message = (
            f"One order is paid in one currency; these products cost {', '.join(currencies)}. Order them separately."
        )
        raise Invalid("mixed_currencies", message, currencies=currencies)
    return Money(sum(line.amount.amount for line in lines), currencies[0])
