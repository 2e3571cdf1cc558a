"""Certificates are replaced under a running service, which is not restarted and refuses no request."""

import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509

from pangaea.credentials.mutual_tls import Files, reloading, server_context
from pangaea.testing import wait_until
from tests.identity.service import HOST, Service, context, make_certificates, running
from tests.identity.test_callers import KEY
from tests.processes import workspace

CALLERS = 3
ROTATIONS = 3


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Service]:
    certificates = make_certificates(tmp_path / "certs")
    with (
        workspace(tmp_path) as space,
        running("users", space, certificates=certificates, environment={}, signing_key=KEY, threads=8) as service,
    ):
        yield service


def serial_shown(service: Service) -> int:
    """The serial number of the certificate that the service shows in a handshake."""
    address = urlsplit(service.url)
    with (
        socket.create_connection((HOST, address.port or 0)) as plain,
        context(service.certificates, "gateway").wrap_socket(plain, server_hostname=HOST) as secured,
    ):
        return x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"").serial_number


def serial_on_disk(certificates: Path) -> int:
    return x509.load_pem_x509_certificate((certificates / "users.crt").read_bytes()).serial_number


class TestARotation:
    def test_shows_in_the_next_handshake_and_fails_no_request(self, users: Service) -> None:
        stop = threading.Event()
        counts: list[int] = [0] * (2 * CALLERS)

        # The callers keep their own certificate; the service's is replaced.
        caller_side = context(users.certificates, "gateway")

        def keep_asking(number: int, *, on_one_connection: bool) -> None:
            while not stop.is_set():
                with httpx.Client(base_url=users.url, verify=caller_side, trust_env=False) as client:
                    while not stop.is_set():
                        assert client.get("/livez").status_code == httpx.codes.OK
                        counts[number] += 1
                        if not on_one_connection:
                            break

        with ThreadPoolExecutor(2 * CALLERS) as pool:
            callers = [pool.submit(keep_asking, n, on_one_connection=n % 2 == 0) for n in range(2 * CALLERS)]
            try:
                shown = {serial_shown(users)}
                for _ in range(ROTATIONS):
                    before = list(counts)
                    make_certificates(users.certificates, rotate=True)
                    shown.add(serial_shown(users))
                    assert serial_shown(users) == serial_on_disk(users.certificates)
                    wait_until(
                        lambda before=before: all(  # type: ignore[misc]
                            now > then or caller.done()
                            for now, then, caller in zip(counts, before, callers, strict=True)
                        ),
                        what="every caller to be answered again",
                    )
            finally:
                stop.set()
            for caller in callers:
                caller.result()
        assert len(shown) == ROTATIONS + 1
        assert users.process.running

    def test_keeps_the_former_certificate_while_the_next_is_incomplete(self, users: Service) -> None:
        before = serial_on_disk(users.certificates)
        key = users.certificates / "users.key"
        former = key.read_bytes()
        shutil.copy(users.certificates / "orders.key", key)
        assert serial_shown(users) == before
        users.wait_for_line("reload failed")
        key.write_bytes(former)
        make_certificates(users.certificates, rotate=True)
        assert serial_shown(users) == serial_on_disk(users.certificates) != before

    def test_of_the_authority_ends_the_trust_in_the_former_one(self, users: Service, tmp_path: Path) -> None:
        other = make_certificates(tmp_path / "other")
        former = shutil.copytree(users.certificates, tmp_path / "former")
        with users.client() as client:
            assert client.get("/livez").status_code == httpx.codes.OK
        for name in ("ca.crt", "users.key", "users.crt"):
            shutil.copy(other / name, users.certificates / name)
        caller = context(former, "gateway", trusting=other)
        with (
            httpx.Client(base_url=users.url, verify=caller, trust_env=False) as stranger,
            pytest.raises(httpx.TransportError),
        ):
            stranger.get("/livez")
        with users.client(certificates=other) as gateway:
            assert gateway.get("/livez").status_code == httpx.codes.OK


class TestAContext:
    def test_is_created_once_for_unchanged_files(self, tmp_path: Path) -> None:
        folder = make_certificates(tmp_path)
        contexts = reloading(Files(folder / "users.crt", folder / "users.key", folder / "ca.crt"), server_context)
        first = contexts.current()
        assert contexts.current() is first
        make_certificates(folder, rotate=True)
        assert contexts.current() is not first
