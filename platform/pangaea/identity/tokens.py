"""Access tokens: JWTs (RFC 7519) signed with ES256, in the shape of RFC 9068 (`typ: at+jwt`).

Claims: iss, aud, sub (the account's UUID), iat, exp, jti, roles (names, RFC 9068, 2.2.3.1), plan (a name); and, in a
token that is narrowed, scope (names separated by spaces). What a role may do and a plan allows is decided by each
module, not by the issuer.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import ECKey, GuestProtocol

from pangaea.credentials import keys
from pangaea.errors import Unauthenticated
from pangaea.identity import token_keys
from pangaea.identity.principal import Principal
from pangaea.ids import uuid7
from pangaea.modules import Plan

TYPE = "at+jwt"
LEEWAY = 10
"""Seconds by which the clocks of two machines may differ."""
MAX_LENGTH = 8192


def issue(
    *,
    subject: UUID,
    roles: Iterable[str],
    scopes: Iterable[str] | None = None,
    plan: str = Plan.FREE,
    now: datetime | None = None,
    lifetime: timedelta | None = None,
) -> str:
    """A signed access token of these roles and this plan, narrowed to `scopes` unless that is None.

    `lifetime` defaults to `PANGAEA.access_token_lifetime`.

    Raises Misconfigured in a process that holds no signing key.
    """
    key = token_keys.signing_key()
    issued_at = now or datetime.now(UTC)
    expires_at = issued_at + (settings.PANGAEA.access_token_lifetime if lifetime is None else lifetime)
    claims: dict[str, Any] = {
        "iss": settings.PANGAEA.issuer,
        "aud": settings.PANGAEA.audience,
        "sub": str(subject),
        "iat": int(issued_at.timestamp()),
        "exp": int(expires_at.timestamp()),
        "jti": str(uuid7()),
        "roles": sorted(set(roles)),
        "plan": plan,
    }
    if scopes is not None:
        claims["scope"] = " ".join(sorted(set(scopes)))
    return jwt.encode({"alg": keys.ALGORITHM, "kid": key.kid, "typ": TYPE}, claims, key, algorithms=[keys.ALGORITHM])


def verify(token: str) -> Principal:
    """The token's caller. Roles that this process does not know have no scopes, and an unknown plan is FREE.

    Raises Unauthenticated with the code `token_expired` or `token_invalid`, and Unavailable when the key cannot be
    fetched. The algorithm is ES256, whatever the token names, and its `kid` is looked up among our own keys only.
    """
    try:
        if len(token) > MAX_LENGTH:
            raise _invalid("it is too long")
        decoded = jwt.decode(token, _key_of, algorithms=[keys.ALGORITHM])
        if decoded.header.get("typ") != TYPE:
            raise _invalid("it is not an access token")
        claims = decoded.claims
        _registry().validate(claims)
        return Principal(
            subject=UUID(claims["sub"]),
            roles=_roles(claims["roles"]),
            scopes=_scopes(claims),
            plan=_plan(claims.get("plan")),
        )
    except ExpiredTokenError:
        raise Unauthenticated("token_expired", "The access token has expired. Get another one.") from None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # A token is hostile input: every error that decoding it raises is the token's fault.
        raise _invalid("it is malformed, or not signed by us for this service") from None


def _registry() -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        leeway=LEEWAY,
        iss={"essential": True, "value": settings.PANGAEA.issuer},
        aud={"essential": True, "value": settings.PANGAEA.audience},
        exp={"essential": True},
        iat={"essential": True},
        jti={"essential": True},
        sub={"essential": True},
        roles={"essential": True, "allow_blank": True},
        scope={"allow_blank": True},
    )


def _roles(claim: object) -> frozenset[str]:
    if not isinstance(claim, list) or not all(isinstance(name, str) for name in claim):
        raise TypeError("roles is not a list of names")
    return frozenset(claim)


def _scopes(claims: dict[str, Any]) -> frozenset[str] | None:
    """The scopes that the token is narrowed to; None without the claim. Raises AttributeError unless it is a string."""
    return frozenset(claims["scope"].split()) if "scope" in claims else None


def _plan(claim: object) -> Plan:
    """The plan of that name. FREE without the claim, and for a plan of a later version of the issuer."""
    return next((plan for plan in Plan if plan == claim), Plan.FREE)


def _key_of(token: GuestProtocol) -> ECKey:
    kid = token.headers().get("kid")
    key = token_keys.find(kid) if isinstance(kid, str) else None
    if key is None:
        raise _invalid("its key is not known")
    return key


def _invalid(why: str) -> Unauthenticated:
    return Unauthenticated("token_invalid", f"The access token is not valid: {why}.")
