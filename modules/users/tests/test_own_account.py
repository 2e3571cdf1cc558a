from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from modules.users import commands, queries
from modules.users.models import Account, RefreshGrant
from modules.users.tests.conftest import PASSWORD, Customer
from pangaea import errors, testing

pytestmark = pytest.mark.django_db(databases="__all__")

ME = "/api/v1/accounts/me"


def events() -> list[str]:
    return [event.wire_name for event in testing.published("users")]


def log_in(email: str = "ada@example.com", password: str = PASSWORD) -> Any:
    return APIClient().post("/api/v1/tokens", {"email": email, "password": password}, format="json")


class TestRead:
    def test_answers_with_one_query(self, ada: Customer, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        from django.db import connections

        with django_assert_num_queries(1, connection=connections["users"]), django_assert_num_queries(0):
            response = ada.client.get(ME)
        assert response.status_code == 200
        assert response.json().keys() == {"id", "email", "full_name", "plan", "registered_at"}
        assert response.json()["id"] == str(ada.id)

    def test_needs_a_token(self, anybody: APIClient) -> None:
        response = anybody.get(ME)
        assert response.status_code == 401
        assert response.has_header("WWW-Authenticate")

    def test_needs_the_scope(self, ada: Customer) -> None:
        client = testing.client_for(ada.id, scopes=["users:write"])
        assert client.get(ME).status_code == 403
        assert client.patch(ME, {"full_name": "Ada King"}, format="json").status_code == 200

    def test_knows_that_the_account_is_closed(self, ada: Customer) -> None:
        ada.client.post(f"{ME}/deactivate", {"current_password": PASSWORD}, format="json")
        for response in (ada.client.get(ME), ada.client.patch(ME, {"full_name": "X"}, format="json")):
            assert response.status_code == 403
            assert response.json()["code"] == "account_deactivated"

    def test_refuses_the_token_of_an_unknown_account(self) -> None:
        response = testing.client_for(uuid4()).get(ME)
        assert response.status_code == 401
        assert response.json()["code"] == "unknown_account"

    @pytest.mark.parametrize("method", ["put", "delete", "post"])
    def test_allows_nothing_else(self, ada: Customer, method: str) -> None:
        assert getattr(ada.client, method)(ME).status_code == 405


class TestChange:
    def test_takes_over_what_is_given(self, ada: Customer) -> None:
        response = ada.client.patch(ME, {"full_name": "Ada King"}, format="json")
        assert response.status_code == 200
        assert response.json()["full_name"] == "Ada King"
        assert ada.client.get(ME).json() == response.json()

    def test_tells_the_whole_profile(self, ada: Customer) -> None:
        ada.client.patch(ME, {"email": "Countess@Example.com", "current_password": PASSWORD}, format="json")
        event = testing.published("users")[-1]
        assert (event.wire_name, event.key) == ("users.profile_changed", str(ada.id))
        assert event.payload.keys() == {"user_id", "email", "full_name", "changed_at"}
        assert (event.payload["email"], event.payload["full_name"]) == ("countess@example.com", "Ada Lovelace")

    def test_of_the_address_moves_the_log_in(self, ada: Customer) -> None:
        ada.client.patch(ME, {"email": "countess@example.com", "current_password": PASSWORD}, format="json")
        assert log_in().status_code == 401
        assert log_in("countess@example.com").status_code == 200

    @pytest.mark.parametrize(
        "body", [{}, {"email": "ADA@example.com", "current_password": PASSWORD}, {"full_name": " Ada Lovelace "}]
    )
    def test_is_silent_when_nothing_differs(self, ada: Customer, body: dict[str, Any]) -> None:
        before = Account.objects.get().changed_at
        assert ada.client.patch(ME, body, format="json").status_code == 200
        assert events() == ["users.user_registered"]
        assert Account.objects.get().changed_at == before

    def test_refuses_the_address_of_another(self, ada: Customer, register: Callable[..., Customer]) -> None:
        grace = register(email="grace@example.com")
        body = {"email": "Ada@example.com", "full_name": "Grace", "current_password": PASSWORD}
        response = grace.client.patch(ME, body, format="json")
        assert response.status_code == 409
        assert response.json()["code"] == "email_taken"
        assert grace.client.get(ME).json()["full_name"] == "Ada Lovelace"
        assert "users.profile_changed" not in events()

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"full_name": ""}, "blank"),
            ({"full_name": None}, "null"),
            ({"email": "ada"}, "invalid"),
            ({"email": "countess@example.com"}, "required"),
            ({"password": "another password"}, "unknown_field"),
            ({"id": str(uuid4())}, "unknown_field"),
            ({"fullname": "Ada King"}, "unknown_field"),
        ],
    )
    def test_refuses(self, ada: Customer, body: dict[str, Any], code: str) -> None:
        response = ada.client.patch(ME, body, format="json")
        assert response.status_code == 400
        assert [error["code"] for error in response.json()["errors"]] == [code]

    def test_needs_the_scope(self, ada: Customer) -> None:
        client = testing.client_for(ada.id, scopes=["users:read"])
        for path in ("", "/deactivate", "/password"):
            method = client.post if path else client.patch
            assert method(ME + path, {}, format="json").json()["code"] == "insufficient_scope"
        assert events() == ["users.user_registered"]

    def test_of_the_address_needs_the_password(self, ada: Customer) -> None:
        body = {"email": "countess@example.com", "current_password": "not the password"}
        response = ada.client.patch(ME, body, format="json")
        assert (response.status_code, response.json()["code"]) == (403, "wrong_password")
        assert log_in().status_code == 200


class TestChangePassword:
    NEW = "subduction zones sink"

    def change(self, customer: Customer, *, current: str = PASSWORD, new: str = NEW) -> Any:
        body = {"current_password": current, "new_password": new}
        return customer.client.post(f"{ME}/password", body, format="json")

    def test_moves_the_log_in_and_ends_all_others(self, ada: Customer) -> None:
        old = log_in().json()["refresh_token"]
        assert self.change(ada).status_code == 204
        assert log_in().status_code == 401
        assert log_in(password=self.NEW).status_code == 200
        refreshed = APIClient().post("/api/v1/tokens/refresh", {"refresh_token": old}, format="json")
        assert refreshed.status_code == 401

    def test_leaves_an_access_token_good_until_it_expires(self, ada: Customer) -> None:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {log_in().json()['access_token']}")
        assert self.change(ada).status_code == 204
        assert not RefreshGrant.objects.exists()
        assert client.get(ME).status_code == 200

    def test_is_told_to_nobody(self, ada: Customer) -> None:
        self.change(ada)
        assert events() == ["users.user_registered"]

    def test_needs_the_current_one(self, ada: Customer) -> None:
        response = self.change(ada, current="not the password")
        assert response.status_code == 403
        assert response.json()["code"] == "wrong_password"
        assert log_in().status_code == 200

    def test_refuses_a_weak_one(self, ada: Customer) -> None:
        (error,) = self.change(ada, new="short").json()["errors"]
        assert (error["pointer"], error["code"]) == ("#/new_password", "password_too_short")


class TestDeactivate:
    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [({}, 400, "validation_failed"), ({"current_password": "not the password"}, 403, "wrong_password")],
    )
    def test_needs_the_password(self, ada: Customer, body: dict[str, str], status: int, code: str) -> None:
        response = ada.client.post(f"{ME}/deactivate", body, format="json")
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert log_in().status_code == 200

    def test_closes_the_account_for_good(self, ada: Customer) -> None:
        log_in()
        assert ada.client.post(f"{ME}/deactivate", {"current_password": PASSWORD}, format="json").status_code == 204
        assert log_in().json()["code"] == "invalid_credentials"
        assert not RefreshGrant.objects.exists()

    def test_tells_it_once(self, ada: Customer) -> None:
        for _ in range(2):
            response = ada.client.post(f"{ME}/deactivate", {"current_password": PASSWORD}, format="json")
            assert response.status_code == 204
        assert events() == ["users.user_registered", "users.user_deactivated"]
        event = testing.published("users")[-1]
        assert event.key == event.payload["user_id"] == str(ada.id)
        assert event.payload.keys() == {"user_id", "deactivated_at"}

    def test_is_refused_when_the_password_was_replaced_since(self, ada: Customer) -> None:
        proof = queries.prove_by_id(account_id=ada.id, password=PASSWORD)
        change = {"current_password": PASSWORD, "new_password": TestChangePassword.NEW}
        assert ada.client.post(f"{ME}/password", change, format="json").status_code == 204
        with pytest.raises(errors.Conflict), transaction.atomic(using="users"):
            commands.deactivate_account(account_id=ada.id, proof=proof)
        with pytest.raises(errors.Conflict), transaction.atomic(using="users"):
            commands.change_profile(account_id=ada.id, proof=proof, email="countess@example.com")

    def test_spares_others(self, ada: Customer, register: Callable[..., Customer]) -> None:
        grace = register(email="grace@example.com")
        ada.client.post(f"{ME}/deactivate", {"current_password": PASSWORD}, format="json")
        assert grace.client.get(ME).status_code == 200


class TestConditions:
    def test_let_a_client_keep_the_profile_until_it_changes(self, ada: Customer) -> None:
        tag = ada.client.get(ME).headers["ETag"]
        unchanged = ada.client.get(ME, headers={"If-None-Match": tag})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["Cache-Control"] == "private, no-cache"
        changed = ada.client.patch(ME, {"full_name": "Ada King"}, format="json")
        read = ada.client.get(ME, headers={"If-None-Match": tag})
        assert read.status_code == 200
        assert changed.headers["ETag"] == read.headers["ETag"] != tag

    def test_give_two_accounts_two_tags(self, ada: Customer, register: Callable[..., Customer]) -> None:
        grace = register(email="grace@example.com", full_name=" Ada Lovelace")
        tag = ada.client.get(ME).headers["ETag"]
        assert grace.client.get(ME, headers={"If-None-Match": tag}).status_code == 200

    def test_refuse_a_change_of_another_state(self, ada: Customer) -> None:
        tag = ada.client.get(ME).headers["ETag"]
        assert ada.client.patch(ME, {"full_name": "A"}, format="json", headers={"If-Match": tag}).status_code == 200
        response = ada.client.patch(ME, {"full_name": "B"}, format="json", headers={"If-Match": tag})
        assert (response.status_code, response.json()["code"]) == (412, "precondition_failed")
        assert ada.client.get(ME).json()["full_name"] == "A"
        assert ada.client.patch(ME, {"full_name": "C"}, format="json").status_code == 200
