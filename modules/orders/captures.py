"""Tables whose changes are published by the database itself: by commands, in the admin, in bulk or by hand.

The stock is left out: a level is out of date when it arrives.
"""

from modules.orders.messages import ProductChanged
from modules.orders.models import Product
from pangaea.change_capture import Capture, money

products = Capture(
    Product,
    key="sku",
    yields=ProductChanged,
    fields={
        "sku": "sku",
        "name": "name",
        "description": "description",
        "price": money(amount="price_amount", currency="price_currency"),
        "active": "active",
    },
)
