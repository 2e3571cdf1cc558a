"""What a split deployment survives in use: instances started, stopped and killed, new certificates, a module down."""

import os
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from pangaea.identity.key_rotation import KeyFile
from pangaea.testing import wait_until
from tests.acceptance.shop import PASSWORD, Customer, Shop
from tests.acceptance.test_order_flow import parts_of
from tests.acceptance.topologies import HOST, Deployment

pytestmark = [pytest.mark.full, pytest.mark.parametrize("deployment", ["split"], indirect=True)]
CHECKOUTS_WAY = ("web_bff-relay", "orders-worker", "orders-relay", "web_bff-worker")
PAUSE = 0.05
"""Seconds between two requests of a visitor, below the gateway's limit per address."""


@dataclass
class Traffic:
    """The number of answered requests, and the failures."""

    count: int = 0
    failures: list[str] = field(default_factory=list)

    def wait_for(self, more: int) -> None:
        """Wait until `more` further requests were answered."""
        goal = self.count + more
        wait_until(lambda: self.count >= goal, what=f"{more} more requests", seconds=60)


@contextmanager
def traffic(shop: Shop, path: str = "/api/v1/products", tokens: Sequence[str] = ()) -> Iterator[Traffic]:
    """Read the path until the end of the block, with the tokens in turn; each request on a new connection."""
    seen, stop = Traffic(), threading.Event()

    def visit() -> None:
        while not stop.wait(PAUSE):
            try:
                headers = {"Authorization": f"Bearer {tokens[seen.count % len(tokens)]}"} if tokens else None
                with Shop(str(shop.base_url), headers=headers) as visitor:
                    answer = visitor.get(path)
                if answer.status_code != httpx.codes.OK:
                    seen.failures.append(f"{answer.status_code} {answer.text[:200]}")
            except httpx.HTTPError as error:
                seen.failures.append(repr(error))
            seen.count += 1

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        yield seen
    finally:
        stop.set()
        visitor.join()


class TestInstances:
    def test_are_added_removed_and_killed_and_no_idempotent_request_fails(
        self, deployment: Deployment, shop: Shop
    ) -> None:
        first, path = deployment.process("orders-web"), "/api/v1/products"
        with traffic(shop, path) as seen:
            with deployment.second_instance("orders") as second:
                second.wait_logged(path)
                first.kill()
                seen.wait_for(40)
                logged = first.log.stat().st_size
                first.start()
                deployment.workspace.wait_ready(f"{deployment.web_urls['orders']}/readyz", process=first)
                first.wait_logged(path, since=logged)
            seen.wait_for(40)
        assert seen.failures == []

    def test_of_relay_and_worker_are_added_removed_and_killed_and_nothing_is_lost_or_doubled(
        self, deployment: Deployment, customer: Customer, shop: Shop
    ) -> None:
        sku = max(shop.products(), key=lambda each: each["in_stock"])["sku"]
        before, space = shop.stock(sku), deployment.workspace
        # The processes on a checkout's way: it is a command to orders, whose answer goes to the BFF.
        firsts = [deployment.process(name) for name in CHECKOUTS_WAY]
        placed: list[str] = []

        def check_out(*, times: int = 3) -> None:
            """Check out, and wait for the order on the BFF."""
            answers = [customer.check_out((sku, 1)) for _ in range(times)]
            for answer in answers:
                checkout = customer.outcome(answer)
                assert checkout["status"] == "placed"
                placed.append(checkout["order_id"])

        with traffic(shop) as seen:
            seconds = [space.start(f"second-{each.name}", each.command, each.environment) for each in firsts]
            try:
                for second in seconds:
                    second.wait_logged("started")
                check_out()
                for first in firsts:
                    first.kill()
                check_out()
                for first in firsts:
                    first.start()
                check_out()
            finally:
                for second in seconds:
                    second.stop()
                    space.processes.remove(second)
            check_out()
        assert seen.failures == []
        for order in placed:
            assert [entry["what"] for entry in customer.page(order)["timeline"]] == ["placed"]
        assert len(placed) == len(set(placed)) == before - shop.stock(sku)


class TestCertificates:
    def test_are_renewed_while_requests_pass(self, deployment: Deployment, shop: Shop) -> None:
        folder = deployment.workspace.folder / "state" / "certs"
        port = int(shop.base_url.port or 0)
        before = ssl.get_server_certificate((HOST, port))
        with traffic(shop) as seen:
            seen.wait_for(10)
            deployment.workspace.manage("certs", f"--directory={folder}", "--rotate", environment={})
            wait_until(
                lambda: ssl.get_server_certificate((HOST, port)) != before,
                what="the edge's new certificate",
                seconds=30,
            )
            seen.wait_for(60)
        assert seen.failures == []


class TestSigningKeys:
    def test_follow_each_other_while_requests_pass(
        self, deployment: Deployment, customer: Customer, shop: Shop
    ) -> None:
        keys = KeyFile(deployment.workspace.folder / "state" / "signing_keys.json")
        former, coming, *_ = (key.kid for key in keys.list())
        tokens = [customer.token]
        assert signed_by(customer.token) == former
        with traffic(shop, "/api/v1/orders", tokens) as orders, traffic(shop, "/bff/v1/home", tokens) as home:
            for seen in (orders, home):
                seen.wait_for(10)
            # Its age is that of a key in a rotation: the next key has been published since the services started.
            os.utime(keys.path, (time.time() - 3600,) * 2)
            deployment.workspace.manage("signing_keys", f"--file={keys.path}", "--rotate", environment={})
            login = {"email": customer.email, "password": PASSWORD}
            tokens.append(shop.post("/api/v1/tokens", json=login).raise_for_status().json()["access_token"])
            assert signed_by(tokens[-1]) == coming
            for seen in (orders, home):
                seen.wait_for(60)
        assert orders.failures == home.failures == []
        published = [key["kid"] for key in shop.get("/.well-known/jwks.json").json()["keys"]]
        assert published == [key.kid for key in keys.list()]
        assert {former, coming} < set(published)


def signed_by(token: str) -> str:
    """The id of the key that signed the token."""
    header, _ = parts_of(token)
    return str(header["kid"])


class TestWhileUsersIsDown:
    def test_tokens_are_verified_everywhere(self, deployment: Deployment, customer: Customer, shop: Shop) -> None:
        assert customer.get("/bff/v1/home").status_code == httpx.codes.OK
        with deployment.without("users"):
            for path in ("/bff/v1/home", "/api/v1/orders"):
                assert customer.get(path).status_code == httpx.codes.OK
                assert shop.get(path).status_code in {httpx.codes.OK, httpx.codes.UNAUTHORIZED}
            with Shop(str(shop.base_url), headers={"Authorization": "Bearer not.a.token"}) as stranger:
                assert stranger.get("/api/v1/orders").status_code == httpx.codes.UNAUTHORIZED
