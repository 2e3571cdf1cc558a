import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from django.db import IntegrityError, connections, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from modules.users.models import Account
from modules.users.tests.conftest import PASSWORD, Customer
from pangaea import testing

pytestmark = pytest.mark.django_db(databases="__all__")

ADA = {"email": "ada@example.com", "password": PASSWORD, "full_name": "Ada Lovelace"}


def post(client: APIClient, **changes: Any) -> Any:
    return client.post("/api/v1/accounts", ADA | changes, format="json")


class TestRegister:
    def test_answers_with_the_account(self, anybody: APIClient) -> None:
        response = post(anybody, email=" Ada@Example.COM ", full_name=" Ada Lovelace ")
        assert response.status_code == 201
        assert response["Location"] == "/api/v1/accounts/me"
        account = response.json()
        assert account.keys() == {"id", "email", "full_name", "plan", "registered_at"}
        assert UUID(account["id"]).version == 7
        assert (account["email"], account["full_name"]) == ("ada@example.com", "Ada Lovelace")

    def test_tells_it_without_a_secret(self, anybody: APIClient) -> None:
        account = post(anybody).json()
        (event,) = testing.published("users")
        assert (event.wire_name, event.key) == ("users.user_registered", account["id"])
        assert event.payload.keys() == {"user_id", "email", "full_name", "registered_at"}
        assert event.payload["user_id"] == account["id"]
        assert event.payload["email"] == "ada@example.com"

    def test_stores_a_hash(self, ada: Customer) -> None:
        stored = Account.objects.get(id=ada.id).password_hash
        assert PASSWORD not in stored
        assert "$" in stored

    def test_needs_no_valid_token(self, anybody: APIClient) -> None:
        anybody.credentials(HTTP_AUTHORIZATION="Bearer stale")
        assert post(anybody).status_code == 201

    @pytest.mark.parametrize("email", ["ada@example.com", "ADA@example.com", "ada@EXAMPLE.com"])
    def test_refuses_a_taken_address_in_any_letter_case(self, ada: Customer, anybody: APIClient, email: str) -> None:
        response = post(anybody, email=email)
        assert response.status_code == 409
        assert response.json()["code"] == "email_taken"
        assert len(testing.published("users")) == 1

    def test_knows_both_spellings_of_a_domain(self, anybody: APIClient) -> None:
        assert post(anybody, email="ada@bücher.example").json()["email"] == "ada@xn--bcher-kva.example"
        assert post(anybody, email="ada@XN--bcher-kva.example").status_code == 409

    def test_knows_two_domains_that_only_look_related(self, anybody: APIClient) -> None:
        """IDNA 2003 had one spelling for both; today they may have different owners (UTS 46, section 7)."""
        assert post(anybody, email="info@straße.example").json()["email"] == "info@xn--strae-oqa.example"
        assert post(anybody, email="info@strasse.example").json()["email"] == "info@strasse.example"

    @pytest.mark.parametrize(
        ("sent", "stored"),
        [("Zoe\u0308 Müller", "Zoë Müller"), ("می\u200cشود", "می\u200cشود"), ("👩\u200d🚀", "👩\u200d🚀")],
    )
    def test_stores_a_name_in_one_spelling(self, anybody: APIClient, sent: str, stored: str) -> None:
        assert post(anybody, full_name=sent).json()["full_name"] == stored
        (event,) = testing.published("users")
        assert event.payload["full_name"] == stored

    def test_counts_the_characters_of_that_spelling(self, anybody: APIClient) -> None:
        assert post(anybody, full_name="e\u0301" * 150).json()["full_name"] == "é" * 150

    def test_keeps_the_address_of_a_deactivated_account(self, ada: Customer, anybody: APIClient) -> None:
        ada.client.post("/api/v1/accounts/me/deactivate", {"current_password": PASSWORD}, format="json")
        assert post(anybody).json()["code"] == "email_taken"

    @pytest.mark.parametrize(
        ("changes", "pointer", "code"),
        [
            ({"email": "no-address"}, "#/email", "invalid"),
            ({"email": "ad\u0131@example.com"}, "#/email", "invalid"),
            ({"email": "ada\u0000@example.com"}, "#/email", "invalid"),
            ({"email": "a" * 250 + "@example.com"}, "#/email", "invalid"),
            ({"email": ["ada@example.com"]}, "#/email", "invalid"),
            ({"email": None}, "#/email", "null"),
            ({"email": "x@y.example\u200b"}, "#/email", "invalid"),
            ({"email": "x@exa\u00admple.net"}, "#/email", "invalid"),
            ({"email": "x" * 65 + "@e.example"}, "#/email", "invalid"),
            ({"email": '""@e.example'}, "#/email", "invalid"),
            ({"email": "x@xn--zzzzzz.example"}, "#/email", "invalid"),
            ({"full_name": "\u200b\u200b"}, "#/full_name", "invalid"),
            ({"full_name": "\u2800\u3000"}, "#/full_name", "blank"),
            ({"full_name": "Ada \u202eecalevoL"}, "#/full_name", "invalid"),
            ({"full_name": "Ada\u2066Lovelace"}, "#/full_name", "invalid"),
            ({"full_name": "Ada\x1b[2J"}, "#/full_name", "invalid"),
            ({"full_name": "\uffa0"}, "#/full_name", "invalid"),
            ({"full_name": ""}, "#/full_name", "blank"),
            ({"full_name": "  "}, "#/full_name", "blank"),
            ({"full_name": "a" * 151}, "#/full_name", "max_length"),
            ({"full_name": "Ada\nBcc: all@example.com"}, "#/full_name", "invalid"),
            ({"full_name": "Ada\u0000"}, "#/full_name", "null_characters_not_allowed"),
            ({"email": "ada@" + "é" * 100_000}, "#/email", "invalid"),
            ({"full_name": {"first": "Ada"}}, "#/full_name", "invalid"),
            ({"password": "short"}, "#/password", "password_too_short"),
            ({"password": "password123"}, "#/password", "password_too_common"),
            ({"password": "73920461852"}, "#/password", "password_entirely_numeric"),
            ({"password": "ada@example.com"}, "#/password", "password_too_similar"),
            ({"password": "Ada Lovelace"}, "#/password", "password_too_similar"),
            ({"password": "ta\u200btectonic"}, "#/password", "invalid"),
            ({"password": "tectonic\x1bplates"}, "#/password", "invalid"),
            ({"password": "e\u0301" * 9}, "#/password", "password_too_short"),
            ({"password": "\u0000" * 20}, "#/password", "null_characters_not_allowed"),
            ({"password": "é" * 2049}, "#/password", "max_length"),
            ({"password": "a" * 1_000_000}, "#/password", "max_length"),
            ({"password": 73920461852}, "#/password", "invalid"),
            ({"is_staff": True}, "#/is_staff", "unknown_field"),
            ({"status": "active"}, "#/status", "unknown_field"),
        ],
    )
    def test_points_at_what_is_wrong(
        self, anybody: APIClient, changes: dict[str, Any], pointer: str, code: str
    ) -> None:
        response = post(anybody, **changes)
        assert response.status_code == 400
        assert response["Content-Type"] == "application/problem+json"
        assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [(pointer, code)]
        assert not Account.objects.exists()
        assert testing.published("users") == []

    def test_repeats_no_long_name_of_a_member(self, anybody: APIClient) -> None:
        (error,) = post(anybody, **{"é" * 100_000: 1}).json()["errors"]
        assert error["pointer"] == "#/" + quote("é" * 60 + "…")

    @pytest.mark.parametrize("body", ["[]", "null", '"ada"', "{", "", '{"email": "\\ud800@example.com"}'])
    def test_refuses_what_is_no_object(self, anybody: APIClient, body: str) -> None:
        response = anybody.post("/api/v1/accounts", body, content_type="application/json")
        assert response.status_code == 400
        assert response["Content-Type"] == "application/problem+json"

    def test_takes_a_password_of_blanks_and_letters_as_it_is(self, anybody: APIClient) -> None:
        post(anybody, password="  tectonic  plates  ")
        log_in = {"email": "ada@example.com", "password": "tectonic  plates"}
        assert anybody.post("/api/v1/tokens", log_in, format="json").status_code == 401
        log_in["password"] = "  tectonic  plates  "
        assert anybody.post("/api/v1/tokens", log_in, format="json").status_code == 200

    @pytest.mark.usefixtures("postgresql_only")
    def test_does_not_mistake_another_constraint_for_the_addresses(self, anybody: APIClient) -> None:
        with connections["users"].cursor() as cursor:
            cursor.execute("ALTER TABLE users_account ADD CONSTRAINT is_short CHECK (length(full_name) < 5)")
        with pytest.raises(IntegrityError, match="is_short"):
            post(anybody)


class TestTheDatabase:
    """The database refuses rows that no code path may write."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"email": "Ada@example.com"},
            {"email": ""},
            {"full_name": ""},
            {"status": "deactivated"},
            {"status": "frozen"},
            {"deactivated_at": timezone.now()},
        ],
    )
    def test_refuses(self, changes: dict[str, Any]) -> None:
        now = timezone.now()
        good = {"email": "ada@example.com", "full_name": "Ada", "password_hash": "!", "registered_at": now}
        good["password_set_at"] = now
        with pytest.raises(IntegrityError, match=r"CHECK|check"), transaction.atomic(using="users"):
            Account.objects.create(**good | {"changed_at": now} | changes)

    def test_refuses_a_second_account_of_an_address(self, ada: Customer, register: Callable[..., Customer]) -> None:
        grace = register(email="grace@example.com")
        with pytest.raises(IntegrityError), transaction.atomic(using="users"):
            Account.objects.filter(id=grace.id).update(email="ada@example.com")


@pytest.mark.django_db(databases="__all__", transaction=True)
class TestAtOnce:
    def test_one_of_many_gets_the_address(self) -> None:
        racers = 8
        start = threading.Barrier(racers, timeout=10)

        def race(number: int) -> tuple[int, str | None]:
            start.wait()
            try:
                response = post(APIClient(), full_name=f"Ada {number}")
                return response.status_code, response.json().get("code")
            finally:
                connections.close_all()

        with ThreadPoolExecutor(racers) as pool:
            answers = sorted(pool.map(race, range(racers)), key=str)
        assert answers == [(201, None)] + [(409, "email_taken")] * (racers - 1)
        assert Account.objects.count() == 1
        assert len(testing.published("users")) == 1

    def test_one_of_two_may_change_to_the_address(self, register: Callable[..., Customer]) -> None:
        customers = [register(email=f"ada{number}@example.com") for number in range(4)]
        start = threading.Barrier(len(customers), timeout=10)

        def race(customer: Customer) -> int:
            start.wait()
            try:
                return customer.client.patch(
                    "/api/v1/accounts/me", {"email": "ada@example.com", "current_password": PASSWORD}, format="json"
                ).status_code
            finally:
                connections.close_all()

        with ThreadPoolExecutor(len(customers)) as pool:
            answers = sorted(pool.map(race, customers))
        assert answers == [200, 409, 409, 409]
        assert [event.wire_name for event in testing.published("users")].count("users.profile_changed") == 1
