import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from django.conf import settings

from pangaea import gateway
from pangaea.credentials import certificates
from pangaea.testing import wait_until
from tests.gateway.edge import HOST, Edge, Service, declare, envoy, public, services

LABELS = ("shop", "store", "impostor")


class TestTlsTowardsClients:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_accepts_safe_versions(self, edge: Edge, folder: Path, version: ssl.TLSVersion) -> None:
        context = trusting(folder)
        context.minimum_version = context.maximum_version = version

        with httpx.Client(verify=context, trust_env=False) as client:
            assert client.get(f"{edge.tls_url}/shop").json()["headers"]["x-forwarded-proto"] == "https"

    def test_refuses_older_versions(self, edge: Edge, folder: Path) -> None:
        context = trusting(folder)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

        with httpx.Client(verify=context, trust_env=False) as client, pytest.raises(httpx.ConnectError):
            client.get(f"{edge.tls_url}/shop")

    @pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256", "AES256-SHA"])
    def test_refuses_ciphers_without_forward_secrecy_or_authentication(
        self, edge: Edge, folder: Path, cipher: str
    ) -> None:
        context = trusting(folder)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{cipher}:@SECLEVEL=0")

        with httpx.Client(verify=context, trust_env=False) as client, pytest.raises(httpx.ConnectError):
            client.get(f"{edge.tls_url}/shop")

    @pytest.mark.parametrize(("offered", "chosen"), [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1")])
    def test_offers_http2(self, edge: Edge, folder: Path, offered: list[str], chosen: str) -> None:
        with connected(edge, folder, *offered) as connection:
            assert connection.selected_alpn_protocol() == chosen

    def test_shows_a_certificate_that_was_replaced_without_a_restart(self, edge: Edge, folder: Path) -> None:
        before = shown(edge, folder)

        make(folder, rotate=True)

        wait_until(lambda: shown(edge, folder) != before, what="the next certificate to be shown", seconds=30)
        with httpx.Client(verify=trusting(folder), trust_env=False) as client:
            assert client.get(f"{edge.tls_url}/shop").status_code == 200


class TestTlsTowardsServices:
    def test_identifies_the_gateway_to_the_service(self, edge: Edge, running: Mapping[str, Service]) -> None:
        assert httpx.get(f"{edge.url}/shop", trust_env=False).status_code == 200
        assert running["shop"].peers[-1] == f"spiffe://{settings.PANGAEA.trust_domain}/gateway"

    def test_trusts_no_service_that_shows_another_modules_identity(
        self, edge: Edge, running: Mapping[str, Service]
    ) -> None:
        """`store` shows the certificate of `impostor`, from the right authority but for another module."""
        answer = httpx.get(f"{edge.url}/store", trust_env=False)

        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert running["store"].seen == []
        stats = httpx.get(
            f"{edge.admin}/stats", params={"filter": "cluster.store.ssl.fail_verify_san"}, trust_env=False
        )
        assert int(stats.text.split()[-1]) > 0

    def test_trusts_no_service_from_another_authority(
        self, folder: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        strange = tmp_path_factory.mktemp("strange")
        make(strange)
        with services("shop", tls={"shop": serving(strange, "shop")}) as running:
            addresses = {"shop": running["shop"].address}
            with envoy(
                tmp_path, [declare("shop", public("/shop"))], upstreams=addresses, certificates=str(folder)
            ) as edge:

                def failures() -> int:
                    stats = httpx.get(
                        f"{edge.admin}/stats", params={"filter": "cluster.shop.ssl.fail_verify_error"}, trust_env=False
                    )
                    return int(stats.text.split()[-1])

                wait_until(lambda: failures() > 0, what="the service to be refused")
                assert httpx.get(f"{edge.url}/shop", trust_env=False).status_code == 503
                assert running["shop"].seen == []


def make(folder: Path, *, rotate: bool = False) -> None:
    domain = settings.PANGAEA.trust_domain
    certificates.issue(folder, certificates.subjects(LABELS, trust_domain=domain), trust_domain=domain, rotate=rotate)


def serving(folder: Path, name: str) -> ssl.SSLContext:
    """A service's TLS context: it shows its certificate, and requires one of the caller."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "ca.crt"))


@contextmanager
def connected(edge: Edge, folder: Path, *protocols: str) -> Iterator[ssl.SSLSocket]:
    context = trusting(folder)
    if protocols:
        context.set_alpn_protocols(protocols)
    with (
        socket.create_connection((HOST, edge.tls_port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        yield connection


def shown(edge: Edge, folder: Path) -> int:
    """The serial number of the gateway's certificate."""
    with connected(edge, folder) as connection:
        certificate = connection.getpeercert(binary_form=True)
        assert certificate
        return x509.load_der_x509_certificate(certificate).serial_number


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("certificates")
    make(made)
    return made


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[dict[str, Service]]:
    with services(
        "shop", "store", tls={"shop": serving(folder, "shop"), "store": serving(folder, "impostor")}
    ) as started:
        yield started


@pytest.fixture(scope="module")
def edge(running: dict[str, Service], folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """A gateway that reads endpoints and certificates from files."""
    endpoints = tmp_path_factory.mktemp("endpoints")
    for name, each in running.items():
        gateway.Endpoints(endpoints, name).set([gateway.Address.parse(each.address, what=name)])
    declared = [declare(name, public(f"/{name}")) for name in running]
    with envoy(tmp_path_factory.mktemp("tls"), declared, endpoints=str(endpoints), certificates=str(folder)) as edge:
        edge.wait_for("/shop")
        yield edge
