"""Callers for tests, with tokens signed by this process's key: no test of a module needs the users module."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from rest_framework.test import APIClient

ALL_SCOPES = ("profile:read", "profile:write", "orders:read", "orders:write")


def access_token(subject: UUID, scopes: Iterable[str] = ALL_SCOPES, *, lifetime: timedelta | None = None) -> str:
    """An access token like those that the users module issues. A negative `lifetime` makes one that has expired."""
    from pangaea.identity import tokens

    return tokens.issue(subject=subject, scopes=scopes, lifetime=lifetime)


def client_for(subject: UUID, scopes: Iterable[str] = ALL_SCOPES) -> "APIClient":
    """DRF's test client, sending a token of `subject` with every request."""
    from rest_framework.test import APIClient

    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_token(subject, scopes)}")
    return client
