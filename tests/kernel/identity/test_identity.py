"""Access tokens: which are accepted, which are not, and where the keys come from."""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.test import Client, RequestFactory
from django.urls import path
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from pytest_django import Settings
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pangaea import errors, modules
from pangaea.identity import remote_keys, token_keys, tokens
from pangaea.identity.permissions import HasScope
from pangaea.identity.principal import Principal
from pangaea.identity.remote_keys import RemoteKeys
from pangaea.testing import free_port

pytestmark = pytest.mark.urls(__name__)

ADA = UUID("01900000-0000-7000-8000-000000000ada")
FIRST, SECOND, *_ = sorted(modules.scopes())
"""Two scopes that customers have."""


class Mine(APIView):
    permission_classes = (HasScope(FIRST, SECOND),)

    def get(self, request: Request) -> Response:
        principal = Principal.of(request)
        return Response({"subject": principal.subject, "roles": sorted(principal.roles)})


class Changeable(APIView):
    permission_classes = (HasScope(FIRST, changing=SECOND),)

    def get(self, request: Request) -> Response:
        return Response()

    def post(self, request: Request) -> Response:
        return Response()


class Undeclared(APIView):
    permission_classes = (HasScope("nothing:read"),)

    def get(self, request: Request) -> Response:
        return Response()


class Public(APIView):
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        return Response({"known": request.user.is_authenticated})


class ByDefault(APIView):
    def get(self, request: Request) -> Response:
        return Response()


urlpatterns = [
    path("mine", Mine.as_view()),
    path("changeable", Changeable.as_view()),
    path("undeclared", Undeclared.as_view()),
    path("public", Public.as_view()),
    path("by-default", ByDefault.as_view()),
]


def get(url: str, authorization: str | None = None) -> Any:
    return Client(headers={"authorization": authorization} if authorization is not None else None).get(url)


def token(**changes: Any) -> str:
    return tokens.issue(**{"subject": ADA, "roles": ["customer"], **changes})


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a valid token with these changes; None leaves a claim out."""
    now = int(datetime.now(UTC).timestamp())
    whole = {
        "iss": django_settings.PANGAEA.issuer,
        "aud": django_settings.PANGAEA.audience,
        "sub": str(ADA),
        "iat": now,
        "exp": now + 60,
        "jti": "1",
        "roles": ["customer"],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def signed(body: dict[str, Any], *, key: ECKey | None = None, **header: Any) -> str:
    key = key or token_keys.signing_key()
    return jwt.encode({"alg": "ES256", "kid": key.kid, "typ": "at+jwt", **header}, body, key, algorithms=["ES256"])


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def refusal(text: str) -> str:
    with pytest.raises(errors.Unauthenticated) as caught:
        tokens.verify(text)
    return caught.value.code


class TestAToken:
    def test_names_its_subject_and_roles(self) -> None:
        principal = tokens.verify(token(roles=["support", "customer", "support"]))
        assert principal == Principal(subject=ADA, roles=frozenset({"customer", "support"}), scopes=None)

    def test_may_be_narrowed_to_scopes(self) -> None:
        principal = tokens.verify(token(scopes=[SECOND, FIRST, SECOND]))
        assert principal.scopes == frozenset({FIRST, SECOND})

    def test_may_be_narrowed_to_nothing(self) -> None:
        assert tokens.verify(token(scopes=[])).scopes == frozenset()

    def test_may_carry_no_role(self) -> None:
        assert tokens.verify(token(roles=[])).roles == frozenset()

    def test_has_the_claims_of_rfc_9068(self) -> None:
        decoded = jwt.decode(token(), token_keys.signing_key(), algorithms=["ES256"])
        assert decoded.header == {"alg": "ES256", "kid": token_keys.signing_key().kid, "typ": "at+jwt"}
        assert set(decoded.claims) == {"iss", "aud", "sub", "iat", "exp", "jti", "roles", "plan"}
        assert decoded.claims["roles"] == ["customer"]
        lifetime = decoded.claims["exp"] - decoded.claims["iat"]
        assert lifetime == django_settings.PANGAEA.access_token_lifetime.total_seconds()

    def test_is_never_the_same_twice(self) -> None:
        now = datetime.now(UTC)
        assert token(now=now) != token(now=now)

    def test_expires(self) -> None:
        assert refusal(token(lifetime=timedelta(seconds=-11))) == "token_expired"

    def test_survives_clocks_that_differ_a_little(self) -> None:
        assert tokens.verify(token(lifetime=timedelta(seconds=-5))).subject == ADA
        assert tokens.verify(token(now=datetime.now(UTC) + timedelta(seconds=5))).subject == ADA

    @pytest.mark.parametrize(
        "changes",
        [
            {"iss": "https://elsewhere.example"},
            {"iss": None},
            {"aud": "another"},
            {"aud": None},
            {"aud": ["another", "third"]},
            {"sub": "ada"},
            {"sub": None},
            {"sub": 7},
            {"exp": None},
            {"exp": "tomorrow"},
            {"exp": True},
            {"iat": None},
            {"iat": 32503680000},
            {"nbf": 32503680000},
            {"jti": None},
            {"roles": None},
            {"roles": "customer"},
            {"roles": {"customer": True}},
            {"roles": ["customer", 7]},
            {"roles": None, "scope": "a:b"},  # as the version before roles issued it
            {"scope": ["a:b"]},
            {"scope": 7},
        ],
        ids=repr,
    )
    def test_with_a_wrong_claim_is_refused(self, changes: dict[str, Any]) -> None:
        assert tokens.verify(signed(claims())).subject == ADA
        assert refusal(signed(claims(**changes))) == "token_invalid"

    def test_of_another_type_is_no_access_token(self) -> None:
        assert refusal(signed(claims(), typ="JWT")) == "token_invalid"

    def test_of_a_foreign_key_is_refused(self) -> None:
        foreign = ECKey.generate_key("P-256", auto_kid=True)
        assert refusal(signed(claims(), key=foreign)) == "token_invalid"
        assert refusal(signed(claims(), key=foreign, kid=token_keys.signing_key().kid)) == "token_invalid"

    def test_does_not_bring_its_own_key(self) -> None:
        foreign = ECKey.generate_key("P-256", auto_kid=True)
        assert refusal(signed(claims(), key=foreign, jwk=foreign.as_dict(private=False))) == "token_invalid"

    def test_without_a_key_id_is_refused(self) -> None:
        key = token_keys.signing_key()
        anonymous = jwt.encode({"alg": "ES256", "typ": "at+jwt"}, claims(), key, algorithms=["ES256"])
        assert refusal(anonymous) == "token_invalid"

    def test_does_not_choose_its_algorithm(self) -> None:
        header = {"kid": token_keys.signing_key().kid, "typ": "at+jwt"}
        public = OctKey.import_key(json.dumps(token_keys.public_jwks()["keys"][0]))
        rsa = RSAKey.generate_key(2048)
        registry = jws.JWSRegistry(algorithms=["HS256", "RS256"])
        body = json.dumps(claims())
        for algorithm, key in (("HS256", public), ("RS256", rsa)):
            forged = jws.serialize_compact({"alg": algorithm, **header}, body, key, registry=registry)
            assert refusal(forged) == "token_invalid"
        for algorithm in ("none", "None", "ES512", "", "es256"):
            assert refusal(f"{part({'alg': algorithm, **header})}.{part(claims())}.") == "token_invalid"

    def test_that_was_tampered_with_is_refused(self) -> None:
        head, _, signature = token().split(".")
        _, body, _ = signed(claims(roles=["admin"])).split(".")
        assert refusal(f"{head}.{body}.{signature}") == "token_invalid"
        assert refusal(f"{head}.{body}.") == "token_invalid"

    @pytest.mark.parametrize(
        "text", ["", ".", "..", "a.b.c", "x" * 10_000, "é.é.é", "eyJhbGciOiJFUzI1NiJ9..", "\x00.\x00.\x00"]
    )
    def test_that_is_garbled_is_refused(self, text: str) -> None:
        assert refusal(text) == "token_invalid"

    @given(position=st.integers(0, 400), replacement=st.characters())
    def test_with_any_character_changed_is_refused_or_means_the_same(self, position: int, replacement: str) -> None:
        text = token()
        changed = text[:position] + replacement + text[position + 1 :]
        try:
            # The last character of a base64 part has bits that no decoder reads.
            assert tokens.verify(changed).subject == ADA
        except errors.Unauthenticated as refused:
            assert refused.code == "token_invalid"  # noqa: PT017 - either outcome is fine

    @given(
        header=st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), inner)
            ),
            max_leaves=5,
        )
    )
    def test_with_any_header_is_refused(self, header: Any) -> None:
        _, body, signature = token().split(".")
        assert refusal(f"{part(header)}.{body}.{signature}") == "token_invalid"


class TestTheKeysOfThisProcess:
    def configure(self, settings: Settings, material: str) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, signing_key=material, jwks_url="")

    def pem(self, key: ECKey) -> str:
        return key.as_pem(private=True).decode()

    def test_are_read_from_pem_jwk_and_jwk_set_alike(self, settings: Settings) -> None:
        key = ECKey.generate_key("P-256")
        jwk = key.as_dict(private=True)
        for material in (
            self.pem(key),
            self.pem(key).replace("\n", "\\n"),
            json.dumps(jwk),
            json.dumps({"keys": [jwk]}),
        ):
            self.configure(settings, material)
            assert token_keys.signing_key().kid == key.thumbprint()
            assert tokens.verify(token()).subject == ADA

    def test_rotate_without_refusing_a_token(self, settings: Settings) -> None:
        former, coming = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
        self.configure(settings, self.pem(former))
        old_token = token()
        self.configure(settings, self.pem(coming) + self.pem(former))
        assert token_keys.signing_key().kid == coming.thumbprint()
        assert tokens.verify(old_token).subject == ADA
        assert tokens.verify(token()).subject == ADA
        self.configure(settings, self.pem(coming))
        assert refusal(old_token) == "token_invalid"

    def test_may_be_retired_to_their_public_half(self, settings: Settings) -> None:
        former, coming = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
        self.configure(settings, self.pem(former))
        old_token = token()
        self.configure(settings, self.pem(coming) + former.as_pem(private=False).decode())
        assert tokens.verify(old_token).subject == ADA

    def test_are_published_without_their_private_half(self, settings: Settings) -> None:
        self.configure(settings, self.pem(ECKey.generate_key("P-256")) + self.pem(ECKey.generate_key("P-256")))
        published = token_keys.public_jwks()["keys"]
        assert [set(key) for key in published] == [{"kty", "crv", "x", "y", "kid", "use", "alg"}] * 2
        assert {(key["use"], key["alg"]) for key in published} == {("sig", "ES256")}

    def test_are_none_where_nothing_is_configured(self, settings: Settings) -> None:
        issued = token()
        self.configure(settings, "")
        assert token_keys.public_jwks() == {"keys": []}
        assert refusal(issued) == "token_invalid"
        with pytest.raises(errors.Misconfigured, match="SIGNING_KEY"):
            token_keys.signing_key()

    @pytest.mark.parametrize(
        "material",
        ["nonsense-secret", "{nonsense-secret", "[]", '{"kty": "oct", "k": "c2VjcmV0"}', '{"keys": []}', '{"keys": 7}',
         "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----"],
    )  # fmt: skip
    def test_that_cannot_be_read_are_refused_without_being_quoted(self, settings: Settings, material: str) -> None:
        self.configure(settings, material)
        with pytest.raises(errors.Misconfigured, match="openssl genpkey") as caught:
            token_keys.signing_key()
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_of_another_curve_or_kind_are_refused(self, settings: Settings) -> None:
        for key in (ECKey.generate_key("P-384"), RSAKey.generate_key(2048)):
            self.configure(settings, key.as_pem(private=True).decode())
            with pytest.raises(errors.Misconfigured, match="P-256"):
                token_keys.signing_key()

    def test_cannot_sign_with_a_public_key(self, settings: Settings) -> None:
        self.configure(settings, ECKey.generate_key("P-256").as_pem(private=False).decode())
        with pytest.raises(errors.Misconfigured, match="cannot sign"):
            token_keys.signing_key()

    def test_appear_once_each(self, settings: Settings) -> None:
        pem = self.pem(ECKey.generate_key("P-256"))
        self.configure(settings, pem + pem)
        with pytest.raises(errors.Misconfigured, match="same id"):
            token_keys.signing_key()


class Source:
    """A real HTTP server with a key set, which can be changed, counted, held and broken."""

    def __init__(self) -> None:
        self.keys: list[ECKey] = [ECKey.generate_key("P-256", auto_kid=True)]
        self.body: bytes | None = None
        self.status = 200
        self.asked = 0
        self.arrived = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                source.asked += 1
                source.arrived.release()
                source.open.wait(10)
                body = source.document()
                self.send_response(source.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its signature
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/.well-known/jwks.json"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def document(self) -> bytes:
        if self.body is not None:
            return self.body
        return json.dumps({"keys": [key.as_dict(private=False) for key in self.keys]}).encode()

    def kid(self, index: int = 0) -> str:
        return str(self.keys[index].kid)

    def close(self) -> None:
        self.open.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def source() -> Iterator[Source]:
    source = Source()
    yield source
    source.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestTheKeysOfAnotherProcess:
    def test_verify_where_no_key_is_held(self, source: Source, settings: Settings) -> None:
        issued = signed(claims(), key=source.keys[0])
        settings.PANGAEA = replace(settings.PANGAEA, signing_key="", jwks_url=source.url)
        assert tokens.verify(issued).subject == ADA
        assert tokens.verify(issued).subject == ADA
        assert source.asked == 1

    def test_are_asked_for_again_when_one_is_not_known(self, source: Source, clock: Clock) -> None:
        remote = RemoteKeys(source.url, clock=clock)
        assert remote.find(source.kid())
        source.keys.insert(0, ECKey.generate_key("P-256", auto_kid=True))
        clock.now += remote_keys.RETRY_AFTER
        assert remote.find(source.kid(0))
        assert remote.find(source.kid(1))
        assert source.asked == 2

    def test_are_not_asked_for_by_every_forged_token(self, source: Source, clock: Clock) -> None:
        remote = RemoteKeys(source.url, clock=clock)
        for number in range(50):
            assert remote.find(f"forged-{number}") is None
        assert source.asked == 1

    def test_stay_in_force_while_their_source_is_down(self, source: Source, clock: Clock) -> None:
        remote = RemoteKeys(source.url, clock=clock)
        assert remote.find(source.kid())
        source.status = 500
        clock.now += 10 * remote_keys.REFRESH_AFTER
        assert remote.find(source.kid())
        assert source.arrived.acquire(timeout=10)
        assert source.arrived.acquire(timeout=10)
        assert remote.find(source.kid())

    def test_cannot_judge_a_strange_token_while_their_source_is_down(self, source: Source, clock: Clock) -> None:
        remote = RemoteKeys(source.url, clock=clock)
        assert remote.find(source.kid())
        source.status = 500
        clock.now += remote_keys.RETRY_AFTER
        with pytest.raises(errors.Unavailable):
            remote.find("strange")

    def test_come_back_with_their_source(self, source: Source, clock: Clock) -> None:
        remote = RemoteKeys(f"http://127.0.0.1:{free_port()}/", clock=clock)
        with pytest.raises(errors.Unavailable):
            remote.find(source.kid())
        remote.url = source.url
        with pytest.raises(errors.Unavailable):
            remote.find(source.kid())
        clock.now += remote_keys.RETRY_AFTER
        assert remote.find(source.kid())

    @pytest.mark.parametrize(
        "body",
        [b"", b"<html>", b"[]", b"{}", b'{"keys": 7}', b'{"keys": []}', b"\xff", b" " * (remote_keys.MAX_BYTES + 1),
         b'{"keys": [7, {}, {"kty": "EC", "crv": "P-256"}]}'],
        ids=lambda body: repr(body[:20]),
    )  # fmt: skip
    def test_are_not_replaced_by_nonsense(self, source: Source, clock: Clock, body: bytes) -> None:
        remote = RemoteKeys(source.url, clock=clock)
        assert remote.find(source.kid())
        source.body = body
        clock.now += remote_keys.RETRY_AFTER
        with pytest.raises(errors.Unavailable):
            remote.find("strange")
        assert remote.find(source.kid())

    def test_of_other_kinds_are_passed_over(self, source: Source, clock: Clock) -> None:
        others = [
            RSAKey.generate_key(2048, auto_kid=True).as_dict(private=False),
            ECKey.generate_key("P-384", auto_kid=True).as_dict(private=False),
            {**ECKey.generate_key("P-256", auto_kid=True).as_dict(private=False), "use": "enc"},
        ]
        source.body = json.dumps({"keys": [*others, source.keys[0].as_dict(private=False)]}).encode()
        remote = RemoteKeys(source.url, clock=clock)
        assert remote.find(source.kid())
        assert [remote.find(str(other["kid"])) for other in others] == [None] * 3

    def test_are_fetched_once_for_many_threads(self, source: Source, clock: Clock) -> None:
        remote = RemoteKeys(source.url, clock=clock)
        ready = threading.Barrier(8)

        def find() -> ECKey | None:
            ready.wait(10)
            return remote.find(source.kid())

        with ThreadPoolExecutor(8) as pool:
            found = [future.result() for future in [pool.submit(find) for _ in range(8)]]
        assert all(found)
        assert source.asked == 1

    def test_that_are_known_never_wait(self, source: Source, clock: Clock) -> None:
        remote = RemoteKeys(source.url, clock=clock)
        assert remote.find(source.kid())
        assert source.arrived.acquire(timeout=10)
        source.open.clear()
        clock.now += remote_keys.RETRY_AFTER
        with ThreadPoolExecutor(1) as pool:
            strange = pool.submit(remote.find, "strange")
            assert source.arrived.acquire(timeout=10)
            assert remote.find(source.kid())
            assert not strange.done()
            source.open.set()
            assert strange.result(10) is None

    def test_come_by_http_alone(self) -> None:
        with pytest.raises(errors.Misconfigured, match="JWKS_URL"):
            RemoteKeys("file:///etc/passwd")


class TestARequest:
    def test_with_a_token_is_the_subjects(self) -> None:
        response = get("/mine", f"Bearer {token()}")
        assert response.json() == {"subject": str(ADA), "roles": ["customer"]}

    @pytest.mark.parametrize("scheme", ["bearer", "BEARER", "  Bearer  "])
    def test_may_write_the_scheme_as_it_likes(self, scheme: str) -> None:
        assert get("/mine", f"{scheme} {token()}").status_code == 200

    @pytest.mark.parametrize("authorization", [None, "", "Basic YWRhOmFkYQ==", "Bearerx y"])
    @pytest.mark.parametrize("url", ["/mine", "/by-default"])
    def test_without_a_token_is_challenged_for_one(self, url: str, authorization: str | None) -> None:
        response = get(url, authorization)
        assert (response.status_code, response.json()["code"]) == (401, "token_missing")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="pangaea"'

    def test_without_a_token_may_read_a_public_page(self) -> None:
        assert get("/public").json() == {"known": False}
        assert get("/public", f"Bearer {token()}").json() == {"known": True}

    @pytest.mark.parametrize("authorization", ["Bearer", "Bearer ", "Bearer a b", "Bearer garbled", "Bearer \xe9"])
    @pytest.mark.parametrize("url", ["/mine", "/public"])
    def test_with_a_garbled_token_is_refused(self, url: str, authorization: str) -> None:
        response = get(url, authorization)
        assert (response.status_code, response.json()["code"]) == (401, "token_invalid")
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]

    def test_with_an_expired_token_is_refused_with_that_code(self) -> None:
        response = get("/mine", f"Bearer {token(lifetime=timedelta(minutes=-1))}")
        assert (response.status_code, response.json()["code"]) == (401, "token_expired")
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]

    def test_without_a_scope_is_refused_with_its_name(self) -> None:
        response = get("/mine", f"Bearer {token(scopes=[FIRST])}")
        assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
        assert response.json()["required_scope"] == f"{FIRST} {SECOND}"
        assert response.headers["WWW-Authenticate"] == (
            f'Bearer realm="pangaea", error="insufficient_scope", scope="{FIRST} {SECOND}"'
        )

    @pytest.mark.parametrize("roles", [[], ["unknown"], ["Customer"]])
    def test_whose_roles_lack_the_scope_is_refused(self, roles: list[str]) -> None:
        for narrowed in (None, [FIRST, SECOND]):
            response = get("/mine", f"Bearer {token(roles=roles, scopes=narrowed)}")
            assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")

    def test_for_a_scope_that_no_module_declares_is_refused(self) -> None:
        for narrowed in (None, ["nothing:read"]):
            assert get("/undeclared", f"Bearer {token(scopes=narrowed)}").status_code == 403

    @pytest.mark.parametrize(("scope", "reads", "changes"), [(FIRST, 200, 403), (SECOND, 403, 200)])
    def test_that_changes_needs_the_scope_for_it(self, scope: str, reads: int, changes: int) -> None:
        client = Client(headers={"authorization": f"Bearer {token(scopes=[scope])}"})
        assert client.get("/changeable").status_code == reads
        assert client.post("/changeable").status_code == changes

    def test_cannot_be_judged_while_the_keys_are_away(self, settings: Settings) -> None:
        issued = token()
        away = f"http://127.0.0.1:{free_port()}/jwks.json"
        settings.PANGAEA = replace(settings.PANGAEA, signing_key="", jwks_url=away)
        response = get("/mine", f"Bearer {issued}")
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert response.headers["Retry-After"]

    def test_without_a_caller_has_no_principal(self) -> None:
        with pytest.raises(errors.Misuse, match="HasScope"):
            Principal.of(APIView().initialize_request(RequestFactory().get("/")))

    def test_needs_a_scope_worth_the_name(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            HasScope()
