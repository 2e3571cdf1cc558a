"""Registers the users module."""

from pangaea.modules import ModuleConfig, Route


class UsersConfig(ModuleConfig):
    """Accounts, and the tokens that the other modules believe. Hears nothing from anybody."""

    name = "modules.users"
    routes = (
        Route("/api/v1/accounts", "modules.users.api.v1.accounts", public=True),
        Route("/api/v1/tokens", "modules.users.api.v1.tokens", public=True),
        Route("/.well-known/jwks.json", "modules.users.api.jwks", public=True, for_modules=True),
    )
    demo = "modules.users.demo.seed"
    walk = (
        "JSON='Content-Type: application/json'",
        """TOKEN=$(curl -sS "$URL/api/v1/tokens" -H "$JSON" \\""",
        """  -d '{"email": "ada@example.com", "password": "continental-drift"}' \\""",
        """  | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')""",
    )
