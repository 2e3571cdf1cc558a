"""Callers for tests, with tokens signed by this process's key: no test of a module needs the users module."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from pangaea.modules import Plan, Role

if TYPE_CHECKING:
    from rest_framework.test import APIClient


def access_token(
    subject: UUID,
    scopes: Iterable[str] | None = None,
    *,
    roles: Iterable[str] = (Role.CUSTOMER,),
    plan: str = Plan.FREE,
    lifetime: timedelta | None = None,
) -> str:
    """An access token of these roles, narrowed to `scopes` unless None; expired if `lifetime` is negative."""
    from pangaea.identity import tokens

    return tokens.issue(subject=subject, roles=roles, scopes=scopes, plan=plan, lifetime=lifetime)


def client_for(
    subject: UUID,
    scopes: Iterable[str] | None = None,
    *,
    roles: Iterable[str] = (Role.CUSTOMER,),
    plan: str = Plan.FREE,
) -> "APIClient":
    """DRF's test client, sending a token of `subject` with every request."""
    from rest_framework.test import APIClient

    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_token(subject, scopes, roles=roles, plan=plan)}")
    return client
