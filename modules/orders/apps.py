"""The declaration of this module."""

from pangaea.modules import ModuleConfig, Role, Route, Scope


class OrdersConfig(ModuleConfig):
    name = "modules.orders"
    verbose_name = "Orders"
    routes = (
        Route("/api/v1/products", urlconf="modules.orders.api.v1.products", public=True),
        Route("/api/v1/orders", urlconf="modules.orders.api.v1.orders"),
    )
    scopes = (
        Scope("orders:read", "Read the caller's own orders.", roles=(Role.CUSTOMER,)),
        Scope("orders:write", "Place orders, and cancel the caller's own.", roles=(Role.CUSTOMER,)),
    )
    subscriptions = ("modules.orders.handlers.customers", "modules.orders.handlers.checkout")
    captures = ("modules.orders.models.catalogue",)
    accepts_commands_from = ("web_bff",)
    demo = "modules.orders.demo.seed"
    walk = (
        'curl -sS "$URL/api/v1/products?limit=3"; echo',
        """curl -sS "$URL/api/v1/orders" -H "Authorization: Bearer $TOKEN" -H "$JSON" \\""",
        """  -d '{"lines": [{"sku": "MAP-PANGAEA", "quantity": 2}]}'; echo""",
    )
