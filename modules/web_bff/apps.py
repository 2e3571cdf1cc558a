"""The declaration of this module."""

from pangaea.modules import ModuleConfig, ProblemType, Role, Route, Scope


class WebBffConfig(ModuleConfig):
    name = "modules.web_bff"
    verbose_name = "Web pages"
    routes = (Route("/bff/v1", urlconf="modules.web_bff.api.v1.pages"),)
    scopes = (
        Scope("web_bff:read", "Read the caller's pages: profile, orders, checkouts.", roles=(Role.CUSTOMER,)),
        Scope("web_bff:checkout", "Start checkouts of the caller.", roles=(Role.CUSTOMER,)),
    )
    problems = (
        ProblemType("checkout_not_found", 404, "There is no such checkout, or it is another customer's."),
        ProblemType(
            "order_not_found",
            404,
            "There is no such order, or it is another customer's; a new one is here some milliseconds after it was "
            "placed.",
        ),
    )
    subscriptions = (
        "modules.web_bff.handlers.profiles",
        "modules.web_bff.handlers.catalogue",
        "modules.web_bff.handlers.orders",
        "modules.web_bff.handlers.checkouts",  # after the orders: the result of a checkout links to an order
    )
    walk = (
        "sleep 1",  # the read model follows, usually within milliseconds
        """curl -sS "$URL/bff/v1/home" -H "Authorization: Bearer $TOKEN"; echo""",
    )
