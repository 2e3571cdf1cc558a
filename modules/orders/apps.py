"""The declaration of this module."""

from datetime import date, timedelta

from pangaea.modules import Deprecation, Fails, ModuleConfig, Plan, ProblemType, Quota, Role, Route, Scope

ORDERS_V1_ENDS = Deprecation(
    since=date(2026, 12, 1),
    sunset=date(2027, 7, 1),
    successor="/api/v2/orders",
    changes=(
        "A line's `sku` and `name` are in its `product`, which is a snapshot of the product as it was ordered.",
        "A line has a `total`. Each amount is an object of `amount`, in the smallest unit, and `currency`, as before.",
        "An order has a `version`, which every change raises.",
        "An order has `links`: `self`, `collection`, `cancel` (null once it cannot be cancelled). Follow them.",
        "To place or cancel an order, the header `Idempotency-Key` is required. Repeat the request with the same key.",
        "To cancel an order, the header `If-Match` is required: the `ETag` of the order as it was read, or `*`.",
        "A list refuses a query parameter that it does not know, and a `limit` above 100, with 400.",
        "Both versions show the same orders with the same ids. The body of a new order and the scopes are the same.",
    ),
)
"""Version 2 differs in what an answer looks like, not in what the module does."""
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

CATALOGUE = (Quota("orders:products_per_minute", 6000, MINUTE, Fails.OPEN),)
"""Of an address: as much as the gateway lets pass, for deployments without one."""
CHANGES = (
    Quota("orders:changes_per_minute", 600, MINUTE, Fails.OPEN, changes_only=True),
    # An order reserves stock: a program waits until it can be counted. People order by the checkout, which goes on.
    Quota("orders:changes_per_day", {Plan.FREE: 1_000, Plan.PRO: 100_000}, DAY, Fails.CLOSED, changes_only=True),
)
"""Of an account, by all versions of the API together."""


class OrdersConfig(ModuleConfig):
    name = "modules.orders"
    verbose_name = "Orders"
    routes = (
        Route("/api/v1/products", urlconf="modules.orders.api.v1.products", public=True, quotas=CATALOGUE),
        Route("/api/v1/orders", urlconf="modules.orders.api.v1.orders", quotas=CHANGES, deprecation=ORDERS_V1_ENDS),
        Route("/api/v2/orders", urlconf="modules.orders.api.v2.orders", quotas=CHANGES),
    )
    scopes = (
        Scope("orders:read", "Read the caller's own orders.", roles=(Role.CUSTOMER,)),
        Scope("orders:write", "Place orders, and cancel the caller's own.", roles=(Role.CUSTOMER,)),
    )
    problems = (
        ProblemType(
            "customer_deactivated",
            403,
            "The account is deactivated, so it places no orders. Operators know the reason.",
        ),
        ProblemType("order_not_found", 404, "There is no such order, or it is another customer's."),
        ProblemType(
            "product_not_found",
            404,
            "There is no such product, or it is not for sale at present.",
            example={"detail": "There is no such product for sale.", "sku": "ABC-1"},
        ),
        ProblemType(
            "order_not_cancellable",
            409,
            "Only an order whose state allows it can be cancelled, and only once. `order_status` is its state.",
            example={"detail": "An order that is cancelled cannot be cancelled.", "order_status": "cancelled"},
        ),
        ProblemType(
            "out_of_stock",
            409,
            "There is less of a product than was ordered; nothing was ordered. `sku` and `available` name it "
            "and how many are left. Order fewer, or try again when there are more.",
            example={"detail": "Only 3 of ABC-1 are left.", "sku": "ABC-1", "available": 3},
        ),
        ProblemType(
            "sku_taken",
            409,
            "Another product has this sku. Choose a different one.",
            example={"detail": "There is a product ABC-1 already.", "sku": "ABC-1"},
        ),
        ProblemType(
            "stock_out_of_range",
            409,
            "The change would leave a stock below zero, or above what can be stored. `available` is the present one.",
            example={"sku": "ABC-1", "available": 3},
        ),
        ProblemType(
            "invalid_order",
            422,
            "The order breaks a rule for its lines: how many there may be, one line per product, quantities within "
            "bounds. `detail` names the rule.",
            example={"detail": "The quantity of ABC-1 must be from 1 to 1000; it is 0.", "sku": "ABC-1"},
        ),
        ProblemType(
            "invalid_product",
            422,
            "Some fields of the product are not valid; `fields` names them.",
            example={"fields": {"name": ["Write something that can be seen."]}},
        ),
        ProblemType(
            "mixed_currencies",
            422,
            "The products have prices in several currencies. Order them separately.",
            example={"currencies": ["EUR", "USD"]},
        ),
        ProblemType(
            "unknown_sku",
            422,
            "The order has a product that is not for sale; `sku` names it.",
            example={"detail": "There is no product 'ABC-1' for sale.", "sku": "ABC-1"},
        ),
    )
    subscriptions = ("modules.orders.handlers.customers", "modules.orders.handlers.checkout")
    captures = ("modules.orders.models.catalogue",)
    accepts_commands_from = ("web_bff",)
    demo = "modules.orders.demo.seed"
    walk = (
        'curl -sS "$URL/api/v1/products?limit=3"; echo',
        """curl -sS "$URL/api/v2/orders" -H "Authorization: Bearer $TOKEN" -H "$JSON" \\""",
        """  -H "Idempotency-Key: walk-$(date +%s)" -d '{"lines": [{"sku": "MAP-PANGAEA", "quantity": 2}]}'; echo""",
    )
