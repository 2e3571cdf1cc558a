"""A service reads the keys of access tokens from users. Each side verifies the other's certificate."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from django.conf import settings as django_settings
from joserfc.jwk import ECKey
from pytest_django import Settings

from pangaea import errors
from pangaea.credentials.mutual_tls import Files, PeerHandler
from pangaea.identity import remote_keys
from pangaea.identity.remote_keys import RemoteKeys
from pangaea.testing import access_token
from tests.identity.service import Service, make_certificates, running
from tests.identity.test_callers import KEY
from tests.processes import Workspace, workspace

ADA = UUID("01900000-0000-7000-8000-000000000ada")
USERS = "spiffe://pangaea.local/users"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with workspace(tmp_path_factory.mktemp("keys")) as held:
        yield held


@pytest.fixture(scope="module")
def users(space: Workspace) -> Iterator[Service]:
    certificates = make_certificates(space.folder / "certs")
    with running("users", space, certificates=certificates, environment={}, signing_key=KEY) as service:
        yield service


def url_of(users: Service) -> str:
    return f"{users.url}/.well-known/jwks.json"


def files(folder: Path, name: str) -> Files:
    return Files(folder / f"{name}.crt", folder / f"{name}.key", folder / "ca.crt")


def keys_of(users: Service, *, shown: Files, expecting: str = USERS) -> RemoteKeys:
    opener = remote_keys.opener(PeerHandler(shown, expecting))
    return RemoteKeys(url_of(users), fetch=lambda url: remote_keys.fetch(url, opener))


class TestAServiceWithoutKeysOfItsOwn:
    def test_verifies_tokens_by_those_that_it_reads_from_users(
        self, users: Service, space: Workspace, settings: Settings
    ) -> None:
        settings.PANGAEA = _signing_with(KEY)
        known = access_token(ADA, roles=())
        settings.PANGAEA = _signing_with(ECKey.generate_key("P-256"))
        forged = access_token(ADA, roles=())
        environment = {"JWKS_URL": url_of(users)}
        with (
            running("orders", space, certificates=users.certificates, environment=environment) as orders,
            orders.client() as gateway,
        ):
            # The token is valid but has no scope, so the answer needs no database.
            found = gateway.get("/api/v1/orders", headers={"Authorization": f"Bearer {known}"})
            assert (found.status_code, found.json()["code"]) == (httpx.codes.FORBIDDEN, "insufficient_scope")
            found = gateway.get("/api/v1/orders", headers={"Authorization": f"Bearer {forged}"})
            assert (found.status_code, found.json()["code"]) == (httpx.codes.UNAUTHORIZED, "token_invalid")


class TestTheKeySource:
    def test_is_asked_with_the_services_own_certificate(self, users: Service) -> None:
        kid = KEY.thumbprint()
        found = keys_of(users, shown=files(users.certificates, "orders")).find(kid)
        assert found is not None
        assert found.kid == kid

    def test_is_not_trusted_when_it_is_another_service(self, users: Service) -> None:
        keys = keys_of(users, shown=files(users.certificates, "orders"), expecting="spiffe://pangaea.local/web_bff")
        with pytest.raises(errors.Unavailable):
            keys.find(KEY.thumbprint())

    def test_is_not_trusted_with_a_certificate_of_another_authority(self, users: Service, tmp_path: Path) -> None:
        keys = keys_of(users, shown=files(make_certificates(tmp_path), "orders"))
        with pytest.raises(errors.Unavailable):
            keys.find(KEY.thumbprint())

    def test_refuses_a_caller_without_a_certificate(self, users: Service) -> None:
        with pytest.raises(errors.Unavailable):
            RemoteKeys(url_of(users)).find(KEY.thumbprint())


def _signing_with(key: ECKey) -> object:
    from dataclasses import replace

    return replace(django_settings.PANGAEA, signing_key=key.as_pem(private=True).decode())
