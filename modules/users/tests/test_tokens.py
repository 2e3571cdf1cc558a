import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connections, transaction
from django.db.models import F
from pytest_django import Settings
from rest_framework.test import APIClient

from modules.users import commands, queries
from modules.users.models import Account, RefreshGrant
from modules.users.rules.refresh_tokens import RefreshToken
from modules.users.tests.conftest import PASSWORD, Customer
from modules.users.tests.counting_hasher import CountingHasher
from pangaea import errors
from pangaea.identity import tokens
from pangaea.identity.principal import Principal
from pangaea.modules import Plan

pytestmark = pytest.mark.django_db(databases="__all__")


COMPOSED, DECOMPOSED = "caf\u00e9 tectonic", "cafe\u0301 tectonic"


def log_in(client: APIClient, *, email: str = "ada@example.com", password: str = PASSWORD) -> Any:
    return client.post("/api/v1/tokens", {"email": email, "password": password}, format="json")


def refresh(client: APIClient, token: str) -> Any:
    return client.post("/api/v1/tokens/refresh", {"refresh_token": token}, format="json")


def bearer(access_token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_token}")
    return client


class TestLogIn:
    def test_gives_a_token_that_the_kernel_believes(self, ada: Customer, anybody: APIClient) -> None:
        response = log_in(anybody, email="ADA@example.com")
        assert response.status_code == 200
        assert response["Cache-Control"] == "no-store"
        pair = response.json()
        assert pair.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
        assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 600)
        principal = tokens.verify(pair["access_token"])
        assert principal.subject == ada.id
        assert principal == Principal(subject=principal.subject, roles=frozenset({"customer"}))
        assert bearer(pair["access_token"]).get("/api/v1/accounts/me").json()["email"] == "ada@example.com"

    def test_gives_the_plan_of_the_account_and_a_refresh_the_plan_of_its_time(
        self, ada: Customer, anybody: APIClient
    ) -> None:
        pair = log_in(anybody).json()
        assert tokens.verify(pair["access_token"]).plan == "free"
        assert ada.client.get("/api/v1/accounts/me").json()["plan"] == "free"
        with transaction.atomic(using="users"):
            assert commands.change_plan(account_id=ada.id, plan=Plan.PRO)
        assert tokens.verify(pair["access_token"]).plan == "free"
        assert tokens.verify(refresh(anybody, pair["refresh_token"]).json()["access_token"]).plan == "pro"
        assert tokens.verify(log_in(anybody).json()["access_token"]).plan == "pro"
        assert ada.client.get("/api/v1/accounts/me").json()["plan"] == "pro"

    def test_ignores_a_stale_token_in_the_header(self, ada: Customer) -> None:
        assert log_in(bearer("stale")).status_code == 200

    def test_answers_alike_to_all_who_may_not(
        self, ada: Customer, register: Callable[..., Customer], anybody: APIClient
    ) -> None:
        register(email="grace@example.com").client.post(
            "/api/v1/accounts/me/deactivate", {"current_password": PASSWORD}, format="json"
        )
        refusals = [
            log_in(anybody, password="not the password"),
            log_in(anybody, email="unknown@example.com"),
            log_in(anybody, email="grace@example.com"),
        ]
        assert {refusal.status_code for refusal in refusals} == {401}
        assert all(refusal.has_header("WWW-Authenticate") for refusal in refusals)
        problems = [refusal.json() | {"correlation_id": None} for refusal in refusals]
        assert problems[0]["code"] == "invalid_credentials"
        assert problems == problems[:1] * 3
        assert not RefreshGrant.objects.exists()

    @pytest.mark.parametrize(
        ("registered", "sent"),
        [
            (COMPOSED, DECOMPOSED),
            (DECOMPOSED, COMPOSED),
            (DECOMPOSED, DECOMPOSED),
            ("two words\u00a0meet", "two words meet"),
            (COMPOSED.upper(), DECOMPOSED.upper()),
        ],
    )
    def test_takes_a_password_in_any_spelling(self, anybody: APIClient, registered: str, sent: str) -> None:
        account = {"email": "ada@example.com", "password": registered, "full_name": "Ada"}
        assert anybody.post("/api/v1/accounts", account, format="json").status_code == 201
        assert log_in(anybody, password=sent).status_code == 200
        assert log_in(anybody, password=sent.swapcase()).status_code == 401

    def test_takes_a_new_password_in_any_spelling(self, ada: Customer, anybody: APIClient) -> None:
        body = {"current_password": PASSWORD, "new_password": DECOMPOSED}
        assert ada.client.post("/api/v1/accounts/me/password", body, format="json").status_code == 204
        assert log_in(anybody, password=COMPOSED).status_code == 200
        body = {"current_password": DECOMPOSED}
        assert ada.client.post("/api/v1/accounts/me/deactivate", body, format="json").status_code == 204

    def test_renews_a_hash_of_another_spelling(self, ada: Customer, anybody: APIClient) -> None:
        """Earlier versions hashed a password as it was sent."""
        former = MD5PasswordHasher().encode(DECOMPOSED, "salt")
        Account.objects.filter(id=ada.id).update(password_hash=former)

        assert log_in(anybody, password=COMPOSED).status_code == 401
        assert log_in(anybody, password=DECOMPOSED).status_code == 200
        assert log_in(anybody, password=COMPOSED).status_code == 200

    @pytest.mark.parametrize(("password", "hashes"), [(PASSWORD, 1), (DECOMPOSED, 2)])
    def test_hashes_as_often_for_an_unknown_address(
        self, register: Callable[..., Customer], anybody: APIClient, settings: Settings, password: str, hashes: int
    ) -> None:
        settings.PASSWORD_HASHERS = ["modules.users.tests.counting_hasher.CountingHasher"]
        register(password="another password")
        for email in ("ada@example.com", "unknown@example.com"):
            CountingHasher.calls.clear()
            assert log_in(anybody, email=email, password=password).status_code == 401
            assert len(CountingHasher.calls) == hashes

    def test_renews_a_hash_of_a_former_hasher(self, ada: Customer, anybody: APIClient, settings: Settings) -> None:
        settings.PASSWORD_HASHERS = [
            "modules.users.tests.counting_hasher.CountingHasher",
            *settings.PASSWORD_HASHERS,
        ]
        assert log_in(anybody).status_code == 200
        assert Account.objects.get(id=ada.id).password_hash.startswith("counting$")
        assert log_in(anybody).status_code == 200

    def test_bears_that_another_log_in_renewed_the_hash(self, ada: Customer, settings: Settings) -> None:
        settings.PASSWORD_HASHERS = ["modules.users.tests.counting_hasher.CountingHasher", *settings.PASSWORD_HASHERS]
        proofs = [queries.prove_by_email(email="ada@example.com", password=PASSWORD) for _ in range(2)]
        for proof in proofs:
            with transaction.atomic(using="users"):
                assert commands.log_in(proof=proof).account_id == ada.id

    def test_is_refused_when_the_password_changed_since_the_proof(self, ada: Customer, anybody: APIClient) -> None:
        proof = queries.prove_by_email(email="ada@example.com", password=PASSWORD)
        change = {"current_password": PASSWORD, "new_password": "subduction zones sink"}
        assert ada.client.post("/api/v1/accounts/me/password", change, format="json").status_code == 204
        with pytest.raises(errors.Unauthenticated), transaction.atomic(using="users"):
            commands.log_in(proof=proof)

    def test_forgets_expired_log_ins(self, ada: Customer, anybody: APIClient) -> None:
        log_in(anybody)
        RefreshGrant.objects.update(expires_at=F("opened_at") - timedelta(days=1))
        log_in(anybody)
        assert RefreshGrant.objects.count() == 1

    @pytest.mark.parametrize(
        "body", [{}, {"email": "ada@example.com"}, {"email": "ada", "password": "x"}, {"email": 1, "password": None}]
    )
    def test_refuses_what_is_no_credentials(self, anybody: APIClient, body: dict[str, Any]) -> None:
        assert anybody.post("/api/v1/tokens", body, format="json").status_code == 400


class TestRefresh:
    def test_gives_the_next_pair(self, ada: Customer, anybody: APIClient) -> None:
        first = log_in(anybody).json()
        response = refresh(anybody, first["refresh_token"])
        assert response.status_code == 200
        assert response["Cache-Control"] == "no-store"
        second = response.json()
        assert tokens.verify(second["access_token"]).subject == ada.id
        assert second["refresh_token"] != first["refresh_token"]
        assert refresh(anybody, second["refresh_token"]).status_code == 200

    def test_stores_no_token(self, ada: Customer, anybody: APIClient) -> None:
        token = RefreshToken.parse(log_in(anybody).json()["refresh_token"])
        assert token is not None
        assert len(token.secret) == 32
        successor = RefreshToken.parse(refresh(anybody, token.text).json()["refresh_token"])
        assert successor is not None
        row = str({**RefreshGrant.objects.values().get(), "salt": bytes(RefreshGrant.objects.get().salt)})
        for each in (token, successor):
            assert each.secret.hex() not in row
            assert str(each.secret) not in row

    def test_of_a_token_spent_a_moment_ago_gives_the_same_successor(self, ada: Customer, anybody: APIClient) -> None:
        """RFC 9700, 4.14.2: a second tab, or a client whose answer was lost, is not logged out."""
        first = log_in(anybody).json()["refresh_token"]
        second, again = (refresh(anybody, first).json()["refresh_token"] for _ in range(2))
        assert second == again
        assert refresh(anybody, second).status_code == 200

    def test_of_a_token_whose_successor_is_spent_ends_the_log_in(self, ada: Customer, anybody: APIClient) -> None:
        first = log_in(anybody).json()["refresh_token"]
        second = refresh(anybody, first).json()["refresh_token"]
        third = refresh(anybody, second).json()["refresh_token"]
        assert refresh(anybody, first).status_code == 401
        assert refresh(anybody, third).status_code == 401

    def test_of_a_token_spent_before_the_version_that_knows_a_grace_ends_the_log_in(
        self, ada: Customer, anybody: APIClient
    ) -> None:
        """During a deployment, processes of the previous version write only the digest."""
        first = log_in(anybody).json()["refresh_token"]
        second = RefreshToken.parse(refresh(anybody, first).json()["refresh_token"])
        assert second is not None
        third = RefreshToken.generate(grant_id=second.grant_id)
        RefreshGrant.objects.filter(digest=second.digest).update(digest=third.digest)
        assert refresh(anybody, first).status_code == 401
        assert refresh(anybody, third.text).status_code == 401

    def test_goes_on_until_the_log_in_ends(self, ada: Customer, anybody: APIClient) -> None:
        token = log_in(anybody).json()["refresh_token"]
        RefreshGrant.objects.update(opened_at=F("opened_at") - timedelta(days=89))
        second = refresh(anybody, token).json()["refresh_token"]
        grant = RefreshGrant.objects.get()
        assert grant.expires_at == grant.opened_at + timedelta(days=90)
        RefreshGrant.objects.update(opened_at=F("opened_at") - timedelta(days=1))
        assert refresh(anybody, second).json()["code"] == "invalid_refresh_token"

    def test_of_a_spent_token_ends_the_log_in(self, ada: Customer, anybody: APIClient) -> None:
        first = log_in(anybody).json()["refresh_token"]
        second = refresh(anybody, first).json()["refresh_token"]
        RefreshGrant.objects.update(rotated_at=F("rotated_at") - timedelta(seconds=11))
        response = refresh(anybody, first)
        assert response.status_code == 401
        assert response.json()["code"] == "invalid_refresh_token"
        assert refresh(anybody, second).status_code == 401

    def test_of_a_spent_token_spares_other_log_ins(self, ada: Customer, anybody: APIClient) -> None:
        laptop = log_in(anybody).json()["refresh_token"]
        phone = log_in(anybody).json()["refresh_token"]
        refresh(anybody, laptop)
        RefreshGrant.objects.update(rotated_at=F("rotated_at") - timedelta(seconds=11))
        assert refresh(anybody, laptop).status_code == 401
        assert refresh(anybody, phone).status_code == 200

    def test_refuses_an_expired_token(self, ada: Customer, anybody: APIClient) -> None:
        token = log_in(anybody).json()["refresh_token"]
        assert RefreshGrant.objects.get().expires_at - RefreshGrant.objects.get().opened_at == timedelta(days=30)
        RefreshGrant.objects.update(expires_at=F("opened_at"))
        assert refresh(anybody, token).json()["code"] == "invalid_refresh_token"

    def test_refuses_a_deactivated_account(self, ada: Customer, anybody: APIClient) -> None:
        token = log_in(anybody).json()["refresh_token"]
        ada.client.post("/api/v1/accounts/me/deactivate", {"current_password": PASSWORD}, format="json")
        assert refresh(anybody, token).status_code == 401

    @pytest.mark.parametrize("token", ["nonsense", "é", "-" * 64, "A" * 64, "A" * 63 + "=", "a.b.c"])
    def test_refuses_a_forged_token(self, ada: Customer, anybody: APIClient, token: str) -> None:
        other = log_in(anybody).json()["refresh_token"]
        assert refresh(anybody, token).json()["code"] == "invalid_refresh_token"
        assert refresh(anybody, other).status_code == 200

    @pytest.mark.parametrize("token", ["", None, 1.5, ["a"], "a" * 257])
    def test_refuses_what_is_no_token(self, anybody: APIClient, token: Any) -> None:
        response = refresh(anybody, token)
        assert response.status_code in {400, 401}

    def test_refuses_an_access_token(self, ada: Customer, anybody: APIClient) -> None:
        pair = log_in(anybody).json()
        assert refresh(anybody, pair["access_token"][:256]).status_code == 401

    def test_is_no_access_token(self, ada: Customer, anybody: APIClient) -> None:
        assert bearer(log_in(anybody).json()["refresh_token"]).get("/api/v1/accounts/me").status_code == 401


@pytest.mark.django_db(databases="__all__", transaction=True)
class TestAtOnce:
    def test_a_token_has_one_successor(self, ada: Customer, anybody: APIClient) -> None:
        token = log_in(anybody).json()["refresh_token"]
        racers = 6
        start = threading.Barrier(racers, timeout=10)

        def race(_: int) -> str:
            start.wait()
            try:
                successor: str = refresh(APIClient(), token).json()["refresh_token"]
                return successor
            finally:
                connections.close_all()

        with ThreadPoolExecutor(racers) as pool:
            (successor,) = set(pool.map(race, range(racers)))
        assert refresh(anybody, successor).status_code == 200
