"""A real service behind a real Envoy, with the certificates of `manage.py certs`, which are replaced under load."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from pangaea import modules
from pangaea.testing import wait_until
from pangaea.testing.databases import scratch_database
from tests.gateway.edge import Edge, envoy
from tests.gateway.test_tls import shown, trusting
from tests.identity.service import Service, make_certificates, running, settings_of
from tests.identity.test_callers import KEY
from tests.identity.test_rotation import serial_shown
from tests.processes import workspace

CALLERS = 4
ROTATIONS = 3
PLENTY = 100_000
"""Factor on the declared rate limits, so that the load reaches the service."""


@dataclass(frozen=True)
class Deployment:
    edge: Edge
    users: Service
    certificates: Path


@pytest.fixture
def deployment(amqp_url: str, postgres_url: str, tmp_path: Path) -> Iterator[Deployment]:
    certificates = make_certificates(tmp_path / "certs")
    with (
        scratch_database(postgres_url, prefix="pangaea_identity") as database,
        workspace(tmp_path) as space,
    ):
        environment = {"USERS_DATABASE_URL": database, "BROKER_URL": amqp_url}
        space.manage("migrate", environment={**settings_of("users", certificates, signing_key=KEY), **environment})
        with (
            running(
                "users", space, certificates=certificates, environment=environment, signing_key=KEY, threads=8
            ) as users,
            envoy(
                tmp_path,
                [modules.named("users")],
                upstreams={"users": users.url.removeprefix("https://")},
                certificates=str(certificates),
                limits=PLENTY,
            ) as edge,
        ):
            edge.wait_for("/.well-known/jwks.json")
            yield Deployment(edge, users, certificates)


@pytest.mark.full
class TestARotationOfEveryCertificate:
    def test_fails_no_request_through_the_gateway(self, deployment: Deployment) -> None:
        edge, certificates = deployment.edge, deployment.certificates
        stop = threading.Event()
        done = [0] * CALLERS
        failed: list[str] = []
        browser = trusting(certificates)

        def keep_asking(number: int) -> None:
            """Send reads, which the gateway may repeat, and writes, which it must not."""
            while not stop.is_set():
                with httpx.Client(base_url=edge.tls_url, verify=browser, trust_env=False, timeout=30) as client:
                    for turn in range(20):
                        if turn % 2:
                            answer = client.get("/.well-known/jwks.json")
                        else:
                            answer = client.post("/api/v1/tokens", json={"email": "unknown@example.com"})
                        if answer.status_code not in {200, 400}:
                            failed.append(f"{answer.status_code} {answer.text}")
                        done[number] += 1

        with ThreadPoolExecutor(CALLERS) as pool:
            callers = [pool.submit(keep_asking, number) for number in range(CALLERS)]
            try:
                seen = {(serial_shown(deployment.users), shown(edge, certificates))}
                for _ in range(ROTATIONS):
                    service_before, edge_before = serial_shown(deployment.users), shown(edge, certificates)
                    make_certificates(certificates, rotate=True)
                    wait_until(
                        lambda before=edge_before: shown(edge, certificates) != before,  # type: ignore[misc]
                        what="the gateway to show its next certificate",
                        seconds=30,
                    )
                    assert serial_shown(deployment.users) != service_before
                    seen.add((serial_shown(deployment.users), shown(edge, certificates)))
                    so_far = list(done)
                    wait_until(
                        lambda so_far=so_far: all(  # type: ignore[misc]
                            now > then + 40 or caller.done()
                            for now, then, caller in zip(done, so_far, callers, strict=True)
                        ),
                        what="every caller to go on",
                        seconds=60,
                    )
            finally:
                stop.set()
            for caller in callers:
                caller.result()
        assert failed == []
        assert len(seen) == ROTATIONS + 1


class TestASpoofedIdentityHeader:
    def test_changes_nothing_through_the_gateway(self, deployment: Deployment) -> None:
        spoofed = {
            "X-Forwarded-Client-Cert": "URI=spiffe://pangaea.local/orders",
            "X-User-ID": "01900000-0000-7000-8000-000000000ada",
            "X-Scopes": "profile:read",
        }
        with httpx.Client(
            base_url=deployment.edge.tls_url, verify=trusting(deployment.certificates), trust_env=False
        ) as client:
            answer = client.get("/api/v1/accounts/me", headers=spoofed)
        assert answer.status_code == httpx.codes.UNAUTHORIZED
