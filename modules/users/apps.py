"""The declaration of this module."""

from datetime import timedelta

from pangaea.modules import ModuleConfig, ProblemType, RateLimit, Role, Route, Scope

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
    problems = (
        ProblemType(
            "invalid_credentials", 401, "The email address or the password is wrong. Which one is not disclosed."
        ),
        ProblemType(
            "invalid_refresh_token",
            401,
            "The refresh token has expired, was used already, or was revoked. Log in again with email and password.",
        ),
        ProblemType(
            "unknown_account",
            401,
            "The access token is valid, and its account does not exist (any more). Register or log in again.",
        ),
        ProblemType("account_deactivated", 403, "The account is deactivated, by its owner or by an operator."),
        ProblemType("wrong_password", 403, "This change needs the current password, and the given one is another."),
        ProblemType("email_taken", 409, "An account has this email address already. Log in, or register another one."),
        ProblemType(
            "password_changed",
            409,
            "Somewhere else the password was changed at the same time, and that change won. Log in with that password.",
        ),
    )
    demo = "modules.users.demo.seed"
    demo_log_ins = {"ada@example.com": "continental-drift", "grace@example.com": "continental-drift"}
    walk = (
        "JSON='Content-Type: application/json'",
        r'ME="\"email\": \"me-$(date +%s)@example.com\", \"password\": \"continental-drift\""',
        r'curl -sS "$URL/api/v1/accounts" -H "$JSON" -d "{$ME, \"full_name\": \"Alfred Wegener\"}"; echo',
        """TOKEN=$(curl -sS "$URL/api/v1/tokens" -H "$JSON" -d "{$ME}" \\""",
        """  | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')""",
    )
