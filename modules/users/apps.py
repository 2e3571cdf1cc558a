"""Registers the users module."""

from datetime import timedelta

from pangaea.modules import ModuleConfig, RateLimit, Route

GUESSES = RateLimit(requests=60, per=timedelta(minutes=1))
"""For those who need no token. An office behind one address can work with it; who guesses passwords cannot."""


class UsersConfig(ModuleConfig):
    """Accounts, and the tokens that the other modules believe. Hears nothing from anybody."""

    name = "modules.users"
    routes = (
        Route("/api/v1/accounts", "modules.users.api.v1.accounts", public=True, rate_limit=GUESSES),
        Route("/api/v1/accounts/me", "modules.users.api.v1.me"),
        Route("/api/v1/tokens", "modules.users.api.v1.tokens", public=True, rate_limit=GUESSES),
        Route("/.well-known/jwks.json", "modules.users.api.jwks", public=True, for_modules=True),
    )
    demo = "modules.users.demo.seed"
    walk = (
        "JSON='Content-Type: application/json'",
        r'ME="\"email\": \"me-$(date +%s)@example.com\", \"password\": \"continental-drift\""',
        r'curl -sS "$URL/api/v1/accounts" -H "$JSON" -d "{$ME, \"full_name\": \"Alfred Wegener\"}"; echo',
        """TOKEN=$(curl -sS "$URL/api/v1/tokens" -H "$JSON" -d "{$ME}" \\""",
        """  | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')""",
    )
