"""The declaration of this module."""

from pangaea.modules import ModuleConfig, Route


class OrdersConfig(ModuleConfig):
    name = "modules.orders"
    verbose_name = "Orders"
    routes = (
        Route("/api/v1/products", urlconf="modules.orders.api.v1.products", public=True),
        Route("/api/v1/orders", urlconf="modules.orders.api.v1.orders"),
    )
    subscriptions = ("modules.orders.handlers.customers", "modules.orders.handlers.checkout")
    captures = ("modules.orders.captures.products",)
    accepts_commands_from = ("web_bff",)
    demo = "modules.orders.demo.seed"
    walk = (
        'curl -sS "$URL/api/v1/products?limit=3"; echo',
        """curl -sS "$URL/api/v1/orders" -H "Authorization: Bearer $TOKEN" -H "$JSON" \\""",
        """  -d '{"lines": [{"sku": "MAP-PANGAEA", "quantity": 2}]}'; echo""",
    )
