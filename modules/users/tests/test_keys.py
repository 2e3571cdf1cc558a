import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from rest_framework.test import APIClient

from modules.users.tests.conftest import Customer
from pangaea import testing

pytestmark = pytest.mark.django_db(databases="__all__")

PATH = "/.well-known/jwks.json"


class TestKeys:
    def test_are_public_and_may_be_cached(self, anybody: APIClient) -> None:
        anybody.credentials(HTTP_AUTHORIZATION="Bearer stale")
        response = anybody.get(PATH)
        assert response.status_code == 200
        assert response["Content-Type"] == "application/json"
        assert response["Cache-Control"] == "public, max-age=300"

    def test_hold_no_private_part(self, anybody: APIClient) -> None:
        for key in anybody.get(PATH).json()["keys"]:
            assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
            assert "d" not in key

    def test_verify_what_was_signed(self, ada: Customer, anybody: APIClient) -> None:
        keys = KeySet.import_key_set(anybody.get(PATH).json())
        decoded = jwt.decode(testing.access_token(ada.id), keys, algorithms=["ES256"])
        assert decoded.claims["sub"] == str(ada.id)
