"""The declaration of this module."""

from datetime import timedelta

from pangaea.modules import ModuleConfig, RateLimit, Role, Route, Scope

GUESSES = RateLimit(requests=60, per=timedelta(minutes=1))
"""The limit of routes without a token: enough for an office behind one address, too low for guessing passwords."""


class UsersConfig(ModuleConfig):
    """Accounts, and the tokens that the other modules verify. Subscribes to no module."""

    name = "modules.users"
    routes = (
        Route("/api/v1/accounts", "modules.users.api.v1.accounts", public=True, rate_limit=GUESSES),
        Route("/api/v1/accounts/me", "modules.users.api.v1.me"),
        Route("/api/v1/tokens", "modules.users.api.v1.tokens", public=True, rate_limit=GUESSES),
        Route("/.well-known/jwks.json", "modules.users.api.jwks", public=True, for_modules=True),
    )
    scopes = (
        Scope("users:read", "Read the caller's own account.", roles=(Role.CUSTOMER,)),
        Scope("users:write", "Change, close and secure the caller's own account.", roles=(Role.CUSTOMER,)),
    )
    demo = "modules.users.demo.seed"
    walk = (
        "JSON='Content-Type: application/json'",
        r'ME="\"email\": \"me-$(date +%s)@example.com\", \"password\": \"continental-drift\""',
        r'curl -sS "$URL/api/v1/accounts" -H "$JSON" -d "{$ME, \"full_name\": \"Alfred Wegener\"}"; echo',
        """TOKEN=$(curl -sS "$URL/api/v1/tokens" -H "$JSON" -d "{$ME}" \\""",
        """  | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')""",
    )
