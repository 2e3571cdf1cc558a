import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from joserfc import jwt
from joserfc.jwk import ECKey

from pangaea.identity import token_keys
from pangaea.modules import RateLimit, Route
from pangaea.testing import wait_until
from pangaea.testing.identity import access_token
from tests.gateway.edge import KEYS, Edge, Service, declare, envoy, public, services

CLAIMS = {"iss": settings.PANGAEA.issuer, "aud": settings.PANGAEA.audience, "exp": 4102444800}


def signed(key: ECKey, *, kid: str | None = None, **claims: object) -> str:
    header = {"alg": "ES256", "kid": kid or token_keys.signing_key().kid, "typ": "at+jwt"}
    return jwt.encode(header, {**CLAIMS, "sub": str(uuid.uuid4()), **claims}, key)


class TestTokens:
    def test_admit_their_holder_and_reach_the_service(self, client: httpx.Client, shop: Service) -> None:
        token = access_token(uuid.uuid4())

        for scheme in ("Bearer", "bearer", "BEARER"):
            assert client.get("/shop", headers={"Authorization": f"{scheme} {token}"}).status_code == 200
            assert shop.seen[-1].headers["authorization"] == f"{scheme} {token}"

    @pytest.mark.parametrize(
        ("token", "code"),
        [
            (None, "token_missing"),
            ("abc", "token_invalid"),
            ("a.b.c", "token_invalid"),
            (signed(ECKey.generate_key("P-256")), "token_invalid"),
            (signed(ECKey.generate_key("P-256"), kid="mine"), "token_invalid"),
            (signed(token_keys.signing_key(), iss="https://elsewhere.example"), "token_invalid"),
            (signed(token_keys.signing_key(), aud="elsewhere"), "token_invalid"),
            (access_token(uuid.uuid4(), lifetime=timedelta(seconds=-60)), "token_expired"),
        ],
        ids=["none", "word", "garbled", "other key", "unknown key", "other issuer", "other audience", "expired"],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_are_refused_unless_they_are_valid(
        self, client: httpx.Client, shop: Service, token: str | None, code: str, method: str
    ) -> None:
        before = len(shop.seen)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}

        answer = client.request(method, "/shop/cart", headers=headers)

        assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (401, code, 401)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith('Bearer realm="pangaea"')
        assert len(shop.seen) == before

    def test_are_taken_from_the_header_alone(self, client: httpx.Client) -> None:
        assert client.get("/shop", params={"access_token": access_token(uuid.uuid4())}).status_code == 401

    def test_are_not_asked_for_on_public_routes(self, client: httpx.Client) -> None:
        stale = {"Authorization": "Bearer abc"}

        assert client.get("/shop/window").status_code == 200
        assert client.get("/shop/window", headers=stale).status_code == 200, "the service judges"
        assert client.get("/api/schema/shop").status_code == 200
        assert client.get(KEYS).status_code == 200

    def test_are_not_asked_for_without_a_route(self, client: httpx.Client) -> None:
        assert client.get("/nowhere").status_code == 404

    def test_are_limited_by_subject(self, client: httpx.Client) -> None:
        first, second = ({"Authorization": f"Bearer {access_token(uuid.uuid4())}"} for _ in range(2))

        assert [client.get("/shop/till", headers=first).status_code for _ in range(4)] == [200, 200, 429, 429]
        assert [client.get("/shop/till", headers=second).status_code for _ in range(3)] == [200, 200, 429]


class TestKeys:
    def test_stay_valid_while_their_source_is_down(self, tmp_path: Path) -> None:
        with services("shop", "issuer") as running, edge_before(tmp_path, running) as edge:
            token = {"Authorization": f"Bearer {access_token(uuid.uuid4())}"}
            edge.wait_for("/shop", **token)
            asked = running["issuer"].asked

            running["issuer"].ready = False
            wait_until(lambda: running["issuer"].asked > asked + 2, what="the issuer to be found down")

            assert httpx.get(f"{edge.url}{KEYS}", trust_env=False).status_code == 503
            assert httpx.get(f"{edge.url}/shop", headers=token, trust_env=False).status_code == 200

    def test_that_could_not_be_read_yet_are_not_the_callers_fault(self, tmp_path: Path) -> None:
        with services("shop", "issuer") as running:
            running["issuer"].ready = False
            with edge_before(tmp_path, running) as edge:
                edge.wait_for("/shop/window")
                token = {"Authorization": f"Bearer {access_token(uuid.uuid4())}"}
                answer = httpx.get(f"{edge.url}/shop", headers=token, trust_env=False)

                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert answer.headers["retry-after"] == "1"

                running["issuer"].ready = True
                wait_until(
                    lambda: httpx.get(f"{edge.url}/shop", headers=token, trust_env=False).status_code == 200,
                    what="the keys to be read",
                    seconds=30,
                )


def edge_before(folder: Path, running: Mapping[str, Service]) -> AbstractContextManager[Edge]:
    till = Route("/shop/till", urlconf="sample", rate_limit=RateLimit(requests=2, per=timedelta(hours=1)))
    declared = [declare("shop", "/shop", public("/shop/window"), till), declare("issuer", public(KEYS))]
    return envoy(folder, declared, upstreams={name: each.address for name, each in running.items()})


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, Service]]:
    with services("shop", "issuer") as started:
        yield started


@pytest.fixture(scope="module")
def shop(running: dict[str, Service]) -> Service:
    return running["shop"]


@pytest.fixture(scope="module")
def client(running: dict[str, Service], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with edge_before(tmp_path_factory.mktemp("tokens"), running) as edge:
        edge.wait_for("/shop/window", KEYS)
        edge.wait_for("/shop", Authorization=f"Bearer {access_token(uuid.uuid4())}")
        with httpx.Client(base_url=edge.url, timeout=20, trust_env=False) as client:
            yield client
