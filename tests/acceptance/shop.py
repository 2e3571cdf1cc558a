"""The public HTTP interface as a client sees it, whatever the deployment."""

import secrets
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any, ClassVar, Self

import httpx

from pangaea.testing import Exchange, verify_exchange, wait_until

PASSWORD = "correct horse battery staple"
TIMEOUT_SECONDS = 30.0
START_SECONDS = 30.0
DECISION_SECONDS = 30.0
RENEW_AFTER = 120.0
"""Seconds. An access token is valid for ten minutes, and no test needs half of them."""


def verify(response: httpx.Response) -> None:
    """Compare an answer with the OpenAPI document, whatever stands in front of the service."""
    response.read()
    verify_exchange(
        Exchange(
            method=response.request.method,
            url=response.request.url.raw_path.decode(),
            request=response.request.read() or None,
            status=response.status_code,
            headers=response.headers,
            body=response.content,
        )
    )


class Shop(httpx.Client):
    """A client without a token. It ignores proxies and credentials of this machine's environment."""

    _trust: ClassVar[ssl.SSLContext | bool] = True

    def __init__(self, base_url: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(
            base_url=base_url,
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
            verify=self._trust,
            event_hooks={"response": [verify]},
        )

    @classmethod
    @contextmanager
    def trusting(cls, context: ssl.SSLContext) -> Iterator[None]:
        """Until the end of the block, use these authorities and this certificate for https."""
        before, Shop._trust = Shop._trust, context
        try:
            yield
        finally:
            Shop._trust = before

    def products(self) -> list[dict[str, Any]]:
        """The whole catalogue, page by page."""
        return self.every("/api/v1/products")

    def every(self, path: str) -> list[dict[str, Any]]:
        """All entries of a list, page by page."""
        found: list[dict[str, Any]] = []
        url: str | None = path
        while url:
            page = self.get(url).raise_for_status().json()
            found.extend(page["results"])
            url = page["next"]
        return found

    def stock(self, sku: str) -> int:
        """How many pieces of a product can be ordered."""
        in_stock: int = self.get(f"/api/v1/products/{sku}").raise_for_status().json()["in_stock"]
        return in_stock


class Customer(Shop):
    """A client with an account and a token."""

    def __init__(self, shop: Shop, *, token: str, email: str) -> None:
        super().__init__(str(shop.base_url))
        self.email = email
        self._use(token)

    def _use(self, token: str) -> None:
        self.token, self._used_since = token, monotonic()
        self.headers["Authorization"] = f"Bearer {token}"

    def renew_token(self) -> None:
        """Log in again, unless the token is younger than RENEW_AFTER."""
        if monotonic() - self._used_since > RENEW_AFTER:
            answer = self.post("/api/v1/tokens", json={"email": self.email, "password": PASSWORD}).raise_for_status()
            self._use(answer.json()["access_token"])

    @classmethod
    def register(cls, shop: Shop, *, full_name: str) -> Self:
        """Open an account under a new address, and log in."""
        email = f"customer-{secrets.token_hex(6)}@example.com"
        account = {"email": email, "password": PASSWORD, "full_name": full_name}
        shop.post("/api/v1/accounts", json=account).raise_for_status()
        answer = shop.post("/api/v1/tokens", json={"email": email, "password": PASSWORD}).raise_for_status()
        return cls(shop, token=answer.json()["access_token"], email=email)

    def wait_until_known(self) -> None:
        """Wait until the BFF has the account, which shows that relay and worker run."""
        wait_until(
            lambda: self.get("/bff/v1/home").raise_for_status().json()["me"],
            what="the BFF to know the customer",
            seconds=START_SECONDS,
        )

    def order(self, *lines: tuple[str, Any], key: str = "") -> httpx.Response:
        """Send an order of (sku, quantity) lines, with this Idempotency-Key if one is given."""
        return self.post(
            "/api/v1/orders",
            json={"lines": [{"sku": sku, "quantity": many} for sku, many in lines]},
            headers={"Idempotency-Key": key} if key else None,
        )

    def place(self, *lines: tuple[str, int], key: str = "") -> dict[str, Any]:
        """Place an order; raises if it is refused."""
        answer = self.order(*lines, key=key)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        order: dict[str, Any] = answer.json()
        return order

    def page(self, order_id: str, *, status: str = "placed") -> dict[str, Any]:
        """The BFF's page of an order, once it shows that status."""

        def there() -> dict[str, Any] | None:
            answer = self.get(f"/bff/v1/orders/{order_id}")
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            order: dict[str, Any] = answer.raise_for_status().json()
            return order if order["status"] == status else None

        return wait_until(there, what=f"order {order_id} to be {status} on the BFF") or {}

    def check_out(self, *lines: tuple[str, Any]) -> httpx.Response:
        """Send the BFF a checkout of (sku, quantity) lines, which is answered before the order is placed."""
        return self.post("/bff/v1/checkout", json={"lines": [{"sku": sku, "quantity": many} for sku, many in lines]})

    def outcome(self, answer: httpx.Response) -> dict[str, Any]:
        """The accepted checkout, once it is placed or refused."""
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text

        def decided() -> dict[str, Any] | None:
            checkout: dict[str, Any] = self.get(answer.headers["location"]).raise_for_status().json()
            return None if checkout["status"] == "pending" else checkout

        return wait_until(decided, what=f"checkout {answer.json()['id']} to be decided", seconds=DECISION_SECONDS) or {}

    def order_ids(self) -> set[str]:
        """The ids of the customer's latest orders, as the orders module has them."""
        return {order["id"] for order in self.get("/api/v1/orders?limit=100").raise_for_status().json()["results"]}
