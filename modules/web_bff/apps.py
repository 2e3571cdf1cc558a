"""The declaration of this module."""

from datetime import timedelta

from pangaea.modules import Fails, ModuleConfig, Plan, ProblemType, Quota, Role, Route, Scope

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

CHECKOUTS = (
    Quota("web_bff:checkouts_per_minute", 600, MINUTE, Fails.OPEN, changes_only=True),
    Quota("web_bff:checkouts_per_day", {Plan.FREE: 1_000, Plan.PRO: 100_000}, DAY, Fails.OPEN, changes_only=True),
)
"""Of an account. The checkout is the only change below this module's route, and is accepted whatever else is down."""


class WebBffConfig(ModuleConfig):
    name = "modules.web_bff"
    verbose_name = "Web pages"
    routes = (Route("/bff/v1", urlconf="modules.web_bff.api.v1.pages", quotas=CHECKOUTS),)
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
