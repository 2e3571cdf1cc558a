"""What this module declares to the kernel."""

from pangaea.modules import ModuleConfig, Route


class WebBffConfig(ModuleConfig):
    name = "modules.web_bff"
    verbose_name = "Web pages"
    routes = (Route("/bff/v1", urlconf="modules.web_bff.api.v1"),)
    subscriptions = (
        "modules.web_bff.handlers.profiles",
        "modules.web_bff.handlers.catalogue",
        "modules.web_bff.handlers.orders",
        "modules.web_bff.handlers.checkouts",  # after the orders: what became of a checkout is a link to one
    )
    walk = (
        "sleep 1",  # the read model follows, usually within milliseconds
        """curl -sS "$URL/bff/v1/home" -H "Authorization: Bearer $TOKEN"; echo""",
    )
