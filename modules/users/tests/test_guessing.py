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

    def test_from_addresses_of_one_ipv6_network_have_to_wait_whichever_account_they_try(
        self, anybody: APIClient
    ) -> None:
        def guess(number: int) -> Any:
            body = {"email": f"customer{number}@example.com", "password": "not the password"}
            return anybody.post("/api/v1/tokens", body, format="json", REMOTE_ADDR=f"2001:db8:1:2::{number:x}")

        answers = [guess(number) for number in range(60)]
        refused = answers[-1]
        assert {each.status_code for each in answers} == {401, 429}
        assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
        assert int(refused["Retry-After"]) > 0
        other = {"email": "customer@example.com", "password": "not the password"}
        assert anybody.post("/api/v1/tokens", other, REMOTE_ADDR="2001:db8:1:3::1").status_code == 401

    def test_of_the_current_password_count_as_log_ins(self, ada: Customer, anybody: APIClient) -> None:
        change = {"current_password": "not the password", "new_password": "subduction zones sink"}
        for _ in range(FREE + 1):
            answer = ada.client.post("/api/v1/accounts/me/password", change, format="json")
            assert answer.json()["code"] == "wrong_password"
        answer = ada.client.post("/api/v1/accounts/me/password", change, format="json")
        assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
        assert log_in(anybody, ada.email, PASSWORD).status_code == 429
