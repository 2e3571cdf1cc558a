"""Customers' passwords cannot be guessed, neither at the log-in nor with a stolen token."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from modules.users.tests.conftest import PASSWORD, Customer

pytestmark = pytest.mark.django_db(databases="__all__")

FREE = 5


def log_in(client: APIClient, email: str, password: str) -> Any:
    return client.post("/api/v1/tokens", {"email": email, "password": password}, format="json")


class TestGuesses:
    @pytest.mark.parametrize("email", ["ada@example.com", "unknown@example.com"])
    def test_have_to_wait_whether_or_not_there_is_an_account(
        self, ada: Customer, anybody: APIClient, email: str
    ) -> None:
        for _ in range(FREE + 1):
            assert log_in(anybody, email, "not the password").status_code == 401
        refused = log_in(anybody, email.upper(), PASSWORD)
        assert refused.status_code == 429
        assert refused.json()["code"] == "throttled"
        assert refused["Retry-After"] == "1"

    def test_of_the_current_password_count_as_log_ins(self, ada: Customer, anybody: APIClient) -> None:
        change = {"current_password": "not the password", "new_password": "subduction zones sink"}
        for _ in range(FREE + 1):
            answer = ada.client.post("/api/v1/accounts/me/password", change, format="json")
            assert answer.json()["code"] == "wrong_password"
        answer = ada.client.post("/api/v1/accounts/me/password", change, format="json")
        assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
        assert log_in(anybody, ada.email, PASSWORD).status_code == 429
