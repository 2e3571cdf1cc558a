"""Customers for the tests, registered over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from pangaea import testing

PASSWORD = "tectonic plates drift"


@dataclass(frozen=True)
class Customer:
    id: UUID
    email: str
    client: APIClient
    """A client with this customer's access token."""


@pytest.fixture
def anybody() -> APIClient:
    """A client without a token."""
    return APIClient()


@pytest.fixture
def register(anybody: APIClient) -> Callable[..., Customer]:
    def registered(
        *, email: str = "ada@example.com", full_name: str = "Ada Lovelace", password: str = PASSWORD
    ) -> Customer:
        body = {"email": email, "password": password, "full_name": full_name}
        response = anybody.post("/api/v1/accounts", body, format="json")
        assert response.status_code == 201, response.content
        account_id = UUID(response.json()["id"])
        return Customer(id=account_id, email=email, client=testing.client_for(account_id))

    return registered


@pytest.fixture
def ada(register: Callable[..., Customer]) -> Customer:
    return register()
