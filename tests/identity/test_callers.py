"""Who may call a service: the real web process, with real certificates of every kind."""

import re
import socket
import ssl
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey

from pangaea.testing import free_port
from tests.identity.service import HOST, Service, context, make_certificates, running
from tests.processes import MANAGE, ROOT, Workspace, explicit, workspace

KEY = ECKey.generate_key("P-256")
IDENTITY_HEADERS = {
    "X-Forwarded-Client-Cert": "By=spiffe://pangaea.local/users;URI=spiffe://pangaea.local/gateway",
    "X-SPIFFE-ID": "spiffe://pangaea.local/gateway",
    "X-SSL-Client-Verify": "SUCCESS",
    "X-SSL-Client-S-DN": "CN=gateway",
    "X-User-ID": "01900000-0000-7000-8000-000000000ada",
    "X-Forwarded-User": "ada@example.com",
    "Remote-User": "ada@example.com",
    "X-Scopes": "orders:read orders:write profile:read",
}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with workspace(tmp_path_factory.mktemp("identity")) as held:
        yield held


@pytest.fixture(scope="module")
def users(space: Workspace) -> Iterator[Service]:
    certificates = make_certificates(space.folder / "certs")
    with running("users", space, certificates=certificates, environment={}, signing_key=KEY) as service:
        yield service


def refusal(response: httpx.Response) -> str:
    assert response.status_code == httpx.codes.FORBIDDEN, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    code: str = response.json()["code"]
    return code


class TestAServiceUnderMutualTLS:
    def test_answers_its_accepted_caller(self, users: Service) -> None:
        with users.client("gateway") as gateway:
            assert gateway.get("/livez").json() == {"status": "alive"}
            assert gateway.get("/api/v1/accounts").status_code == httpx.codes.METHOD_NOT_ALLOWED

    def test_refuses_a_caller_without_a_certificate(self, users: Service) -> None:
        with users.client(None) as anybody, pytest.raises(httpx.TransportError):
            anybody.get("/livez")
        users.wait_for_line("PEER_DID_NOT_RETURN_A_CERTIFICATE")

    def test_refuses_a_certificate_of_another_authority(self, users: Service, tmp_path: Path) -> None:
        other = make_certificates(tmp_path)
        with users.client("gateway", certificates=other) as stranger, pytest.raises(httpx.TransportError):
            stranger.get("/livez")
        users.wait_for_line("CERTIFICATE_VERIFY_FAILED")

    def test_refuses_the_certificate_that_browsers_see(self, users: Service) -> None:
        with users.client("edge") as edge, pytest.raises(httpx.TransportError):
            edge.get("/livez")

    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/api/v1/accounts", "/admin/", "/nothing"])
    def test_refuses_another_spiffe_id_of_its_own_authority(self, users: Service, path: str) -> None:
        with users.client("orders") as orders:
            assert refusal(orders.get(path)) == "caller_not_accepted"

    def test_lets_every_service_read_its_keys_and_nothing_else(self, users: Service) -> None:
        with users.client("orders") as orders:
            found = orders.get("/.well-known/jwks.json").json()["keys"]
            assert [key["kid"] for key in found] == [KEY.thumbprint()]
            for path in (
                "/.well-known/jwks.json/",
                "/.well-known/jwks.json/../../api/v1/accounts",
                "//.well-known/jwks.json",
            ):
                assert refusal(orders.get(f"{users.url}{path}")) == "caller_not_accepted"

    def test_judges_a_connection_by_its_certificate_whatever_was_sent_on_it_before(self, users: Service) -> None:
        with users.client("orders") as orders:
            orders.get("/.well-known/jwks.json")
            assert refusal(orders.get("/api/v1/accounts")) == "caller_not_accepted"

    def test_speaks_no_plain_http(self, users: Service) -> None:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{users.url.replace('https', 'http')}/livez", trust_env=False)

    def test_speaks_no_tls_older_than_1_2(self, users: Service) -> None:
        old = context(users.certificates, "gateway")
        with warnings.catch_warnings(action="ignore"):
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with (
            httpx.Client(base_url=users.url, verify=old, trust_env=False) as client,
            pytest.raises(httpx.TransportError),
        ):
            client.get("/livez")

    def test_speaks_tls_1_2_with_forward_secrecy_alone(self, users: Service) -> None:
        address = urlsplit(users.url)
        modern = context(users.certificates, "gateway")
        modern.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection((HOST, address.port or 0)) as plain,
            modern.wrap_socket(plain, server_hostname=HOST) as secured,
        ):
            name = (secured.cipher() or ("",))[0]
            assert name.startswith("ECDHE-")
            assert secured.version() == "TLSv1.2"
        modern.set_ciphers("AES128-SHA:AES256-SHA:AES128-GCM-SHA256")
        with socket.create_connection((HOST, address.port or 0)) as plain, pytest.raises(ssl.SSLError):
            modern.wrap_socket(plain, server_hostname=HOST)


class TestSpoofedIdentityHeaders:
    """They are sent to the service directly: the gateway would remove them."""

    def test_do_not_make_a_caller_accepted(self, users: Service) -> None:
        with users.client("orders") as orders:
            assert refusal(orders.get("/api/v1/accounts", headers=IDENTITY_HEADERS)) == "caller_not_accepted"

    def test_do_not_make_a_stranger_known(self, users: Service) -> None:
        with users.client("gateway") as gateway:
            plain = gateway.get("/api/v1/accounts/me")
            spoofed = gateway.get("/api/v1/accounts/me", headers=IDENTITY_HEADERS)
        assert plain.status_code == spoofed.status_code == httpx.codes.UNAUTHORIZED
        assert spoofed.json()["code"] == "token_missing"

    def test_do_not_move_a_request_to_another_address(self, users: Service) -> None:
        headers = {"Script-Name": "/api/v1", "SCRIPT_NAME": "/livez", "PATH_INFO": "/livez", "X-Original-URL": "/livez"}
        with users.client("gateway") as gateway:
            assert gateway.get("/nothing", headers=headers).status_code == httpx.codes.NOT_FOUND


class TestAcceptedCallers:
    def test_are_named_by_module_or_by_id(self, space: Workspace, users: Service) -> None:
        named = {"ACCEPTED_CALLERS": "orders, spiffe://pangaea.local/web_bff"}
        certificates = users.certificates
        port = free_port()
        environment = {**dict(users.process.environment), **named}
        process = space.start("users-choosy", (*MANAGE, "web", "--bind", f"{HOST}:{port}"), environment)
        service = Service("users", f"https://{HOST}:{port}", certificates, process, space)
        with service.client("orders") as orders:
            service.wait_for_answer(orders)
            assert orders.get("/livez").status_code == httpx.codes.OK
        with service.client("web_bff") as bff:
            assert bff.get("/livez").status_code == httpx.codes.OK
        with service.client("gateway") as gateway:
            assert refusal(gateway.get("/livez")) == "caller_not_accepted"
        process.stop()


class TestAWebProcess:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"TLS_KEY": ""}, "TLS_KEY must be set too"),
            ({"TLS_CA": "", "TLS_KEY": ""}, "TLS_KEY and TLS_CA must be set too"),
            ({"TLS_KEY": "/nowhere/users.key"}, "TLS_KEY is .*which cannot be read"),
            ({"TLS_CERTIFICATE": str(ROOT / "README.md")}, "manage.py certs"),
            ({"ACCEPTED_CALLERS": "the gateway"}, "ACCEPTED_CALLERS"),
            ({"TRUST_DOMAIN": "Not A Domain"}, "TRUST_DOMAIN"),
            ({"SIGNING_KEY": "", "JWKS_URL": "http://127.0.0.1:8101/.well-known/jwks.json"}, "JWKS_URL must be https"),
        ],
    )
    def test_names_what_to_set_instead_of_starting_without_protection(
        self, users: Service, change: dict[str, str], message: str
    ) -> None:
        environment = {**dict(users.process.environment), **change}
        done = subprocess.run(
            [*MANAGE, "web", "--bind", f"{HOST}:{free_port()}"],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=explicit(environment),
            timeout=60,
        )
        assert done.returncode == 1
        assert re.search(message, done.stderr), done.stderr

    def test_is_not_for_the_local_profile(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [*MANAGE, "web"],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=explicit({"DJANGO_SETTINGS_MODULE": "pangaea.settings.local", "LOCAL_STATE_DIR": str(tmp_path)}),
            timeout=60,
        )
        assert done.returncode == 1
        assert "manage.py runserver" in done.stderr
