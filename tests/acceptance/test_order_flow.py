"""The main job, black box: the same file, unchanged, for every topology."""

import base64
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.acceptance.shop import PASSWORD, Customer, Shop
from tests.acceptance.topologies import Deployment

MEASURED_ORDERS = 10
UNKNOWN_SKU = "NO-SUCH-THING"
LONG_AGO = 3600


@pytest.fixture
def product(shop: Shop) -> dict[str, Any]:
    """The product with the largest stock."""
    return max(shop.products(), key=lambda product: product["in_stock"])


class TestTheOrderFlow:
    def test_a_registered_customer_is_known_by_name(self, customer: Customer) -> None:
        me = customer.get("/api/v1/accounts/me").raise_for_status().json()
        seen = customer.get("/bff/v1/home").raise_for_status().json()["me"]
        assert (me["email"], me["full_name"]) == (customer.email, "Ada Lovelace")
        assert (seen["email"], seen["full_name"], seen["user_id"]) == (me["email"], me["full_name"], me["id"])

    def test_a_wrong_password_gives_no_token(self, shop: Shop, customer: Customer) -> None:
        answer = shop.post("/api/v1/tokens", json={"email": customer.email, "password": PASSWORD + "!"})
        assert_problem(answer, 401, "invalid_credentials")

    def test_the_catalogue_is_public_and_in_order(self, shop: Shop) -> None:
        products = shop.products()
        assert products
        assert [product["name"] for product in products] == sorted(product["name"] for product in products)
        for product in products:
            assert shop.get(f"/api/v1/products/{product['sku']}").json() == product

    def test_an_order_reserves_stock_and_appears_on_the_bff(
        self, shop: Shop, customer: Customer, product: dict[str, Any]
    ) -> None:
        before = shop.stock(product["sku"])
        answer = customer.order((product["sku"], 2))
        assert answer.status_code == httpx.codes.CREATED, answer.text
        order = answer.json()
        line = {"sku": product["sku"], "name": product["name"], "quantity": 2, "unit_price": product["price"]}
        assert (order["status"], order["cancelled_at"], order["lines"]) == ("placed", None, [line])
        assert order["total"] == {**product["price"], "amount": 2 * product["price"]["amount"]}
        assert customer.get(answer.headers["location"]).json() == order
        assert shop.stock(product["sku"]) == before - 2

        page = customer.page(order["id"])
        assert (page["lines"], page["total"], page["item_count"]) == ([line], order["total"], 2)
        assert [entry["what"] for entry in page["timeline"]] == ["placed"]
        listed = customer.get("/bff/v1/orders").json()["results"]
        home = customer.get("/bff/v1/home").json()["latest_orders"]
        assert listed[0]["id"] == home[0]["id"] == order["id"]
        assert home[0]["product_names"] == [product["name"]]

    def test_a_cancelled_order_releases_stock_and_shows_its_timeline(
        self, shop: Shop, customer: Customer, product: dict[str, Any]
    ) -> None:
        before = shop.stock(product["sku"])
        order = customer.place((product["sku"], 1))
        cancelled = customer.post(f"/api/v1/orders/{order['id']}/cancel").raise_for_status().json()
        assert cancelled["status"] == "cancelled"
        assert cancelled["cancelled_at"]
        assert shop.stock(product["sku"]) == before

        page = customer.page(order["id"], status="cancelled")
        assert [entry["what"] for entry in page["timeline"]] == ["placed", "cancelled"]
        assert page["cancelled_at"] == cancelled["cancelled_at"]
        assert_problem(customer.post(f"/api/v1/orders/{order['id']}/cancel"), 409, "order_not_cancellable")
        assert shop.stock(product["sku"]) == before

    def test_an_order_reaches_the_bff_in_a_time_that_is_printed(
        self, customer: Customer, product: dict[str, Any], latencies: list[float]
    ) -> None:
        for _ in range(MEASURED_ORDERS):
            order = customer.place((product["sku"], 1))
            placed = time.monotonic()
            customer.page(order["id"])
            latencies.append(time.monotonic() - placed)
            customer.post(f"/api/v1/orders/{order['id']}/cancel").raise_for_status()
        assert len(latencies) == MEASURED_ORDERS


class TestBadInput:
    """Each bad request gets a precise problem document and changes nothing."""

    @pytest.mark.parametrize("quantity", [0, -1, 1001, 2**62, "2", 1.5, True, None, [1]])
    def test_an_unusable_quantity_is_pointed_at(
        self, customer: Customer, product: dict[str, Any], quantity: object
    ) -> None:
        with nothing_changes(customer, product):
            problem = assert_problem(customer.order((product["sku"], quantity)), 400, "validation_failed")
        assert [error["pointer"] for error in problem["errors"]] == ["#/lines/0/quantity"]

    def test_an_unknown_sku_is_named(self, customer: Customer, product: dict[str, Any]) -> None:
        with nothing_changes(customer, product):
            problem = assert_problem(customer.order((product["sku"], 1), (UNKNOWN_SKU, 1)), 422, "unknown_sku")
        assert UNKNOWN_SKU in json.dumps(problem)

    def test_more_than_the_stock_is_a_conflict(self, customer: Customer, product: dict[str, Any]) -> None:
        scarce = min(customer.products(), key=lambda product: product["in_stock"])
        with nothing_changes(customer, scarce):
            problem = assert_problem(customer.order((scarce["sku"], scarce["in_stock"] + 1)), 409, "out_of_stock")
        assert (problem["sku"], problem["available"]) == (scarce["sku"], scarce["in_stock"])

    @pytest.mark.parametrize("lines", [[], None, "lines", [{}], [[]], 7])
    def test_an_order_of_another_shape_is_refused(
        self, customer: Customer, product: dict[str, Any], lines: object
    ) -> None:
        with nothing_changes(customer, product):
            assert_problem(customer.post("/api/v1/orders", json={"lines": lines}), 400, "validation_failed")

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"\xff",
            b'{"lines": NaN}',
            b'{"lines": [{"sku": "A", "quantity": 1%s}]}' % (b"0" * 40),
            b'{"lines": [{"sku": "A", "quantity": 1}], "lines": []}',
        ],
    )
    def test_malformed_json_is_refused(self, customer: Customer, product: dict[str, Any], body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        with nothing_changes(customer, product):
            assert_problem(customer.post("/api/v1/orders", content=body, headers=headers), 400, "malformed_json")

    def test_another_media_type_is_refused(self, customer: Customer, product: dict[str, Any]) -> None:
        with nothing_changes(customer, product):
            answer = customer.post("/api/v1/orders", content=b"<order/>", headers={"Content-Type": "application/xml"})
            assert_problem(answer, 415, "unsupported_media_type")

    def test_another_method_is_refused(self, customer: Customer) -> None:
        answer = customer.delete("/api/v1/orders")
        assert_problem(answer, 405, "method_not_allowed")
        assert "POST" in answer.headers["allow"]

    def test_another_customers_order_does_not_exist(
        self, shop: Shop, customer: Customer, product: dict[str, Any]
    ) -> None:
        order = customer.place((product["sku"], 1))
        customer.page(order["id"])
        with Customer.register(shop, full_name="Eve") as eve, nothing_changes(customer, product):
            for id_ in (order["id"], str(uuid.uuid4())):
                assert_problem(eve.get(f"/api/v1/orders/{id_}"), 404, "order_not_found")
                assert_problem(eve.post(f"/api/v1/orders/{id_}/cancel"), 404, "order_not_found")
                assert_problem(eve.get(f"/bff/v1/orders/{id_}"), 404, "order_not_found")
        customer.post(f"/api/v1/orders/{order['id']}/cancel").raise_for_status()

    def test_an_unknown_address_is_a_problem_too(self, shop: Shop) -> None:
        assert_problem(shop.get("/api/v1/no-such-thing"), 404, "not_found")


class TestTokens:
    """A client without a valid token is refused, with the reason, and changes nothing."""

    def test_are_required(self, shop: Shop, customer: Customer, product: dict[str, Any]) -> None:
        assert_refused(shop, customer, product, None, "token_missing")

    def test_signed_by_a_foreign_key_are_refused(self, shop: Shop, customer: Customer, product: dict[str, Any]) -> None:
        header, claims = parts_of(customer.token)
        forged = jwt.encode(header, claims, ECKey.generate_key("P-256"))
        assert_refused(shop, customer, product, forged, "token_invalid")

    def test_with_an_unknown_key_id_are_refused(self, shop: Shop, customer: Customer, product: dict[str, Any]) -> None:
        header, claims = parts_of(customer.token)
        forged = jwt.encode({**header, "kid": "mine"}, claims, ECKey.generate_key("P-256"))
        assert_refused(shop, customer, product, forged, "token_invalid")

    def test_that_have_expired_are_refused(
        self, deployment: Deployment, shop: Shop, customer: Customer, product: dict[str, Any]
    ) -> None:
        header, claims = parts_of(customer.token)
        past = {"iat": claims["iat"] - 2 * LONG_AGO, "exp": claims["iat"] - LONG_AGO}
        old = jwt.encode(header, {**claims, **past}, deployment.signing_key)
        assert_refused(shop, customer, product, old, "token_expired")

    def test_with_other_claims_under_the_same_signature_are_refused(
        self, shop: Shop, customer: Customer, product: dict[str, Any]
    ) -> None:
        _, claims = parts_of(customer.token)
        head, _, signature = customer.token.split(".")
        body = base64.urlsafe_b64encode(json.dumps({**claims, "sub": str(uuid.uuid4())}).encode()).rstrip(b"=").decode()
        assert_refused(shop, customer, product, f"{head}.{body}.{signature}", "token_invalid")

    def test_that_are_garbled_are_refused(self, shop: Shop, customer: Customer, product: dict[str, Any]) -> None:
        assert_refused(shop, customer, product, "not.a.token", "token_invalid")


class TestOperations:
    """The endpoints for operators answer in every web process."""

    @pytest.mark.parametrize("path", ["/livez", "/readyz"])
    def test_health_answers(self, deployment: Deployment, path: str) -> None:
        for url in deployment.web_urls.values():
            with Shop(url) as process:
                assert process.get(path).status_code == httpx.codes.OK

    def test_pages_answer(self, deployment: Deployment) -> None:
        paths = ["/admin/login/", "/api/docs/"]
        for url in deployment.web_urls.values():
            with Shop(url) as process:
                for page in map(process.get, paths):
                    assert page.status_code == httpx.codes.OK
                    assert page.headers["content-type"].startswith("text/html")
                    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]

    def test_every_module_describes_its_api(self, shop: Shop) -> None:
        for module, path in {
            "users": "/api/v1/accounts",
            "orders": "/api/v1/orders",
            "web_bff": "/bff/v1/home",
        }.items():
            schema = shop.get(f"/api/schema/{module}/", headers={"Accept": "application/vnd.oai.openapi+json"})
            assert schema.status_code == httpx.codes.OK
            assert path in schema.json()["paths"]

    def test_the_keys_are_public_and_hold_no_secret(self, shop: Shop) -> None:
        keys = shop.get("/.well-known/jwks.json").raise_for_status().json()["keys"]
        assert keys
        assert not any("d" in key for key in keys)


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The members of an RFC 9457 document of that status and code, which leaks nothing."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in answer.text
    return problem


def assert_refused(shop: Shop, customer: Customer, product: dict[str, Any], token: str | None, code: str) -> None:
    """Reading and ordering with this token both give 401, and nothing changes."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    order = {"lines": [{"sku": product["sku"], "quantity": 1}]}
    with nothing_changes(customer, product):
        for answer in (
            shop.post("/api/v1/orders", json=order, headers=headers),
            shop.get("/api/v1/accounts/me", headers=headers),
            shop.get("/bff/v1/home", headers=headers),
        ):
            assert_problem(answer, 401, code)
            assert answer.headers["www-authenticate"].startswith("Bearer")


@contextmanager
def nothing_changes(customer: Customer, product: dict[str, Any]) -> Iterator[None]:
    """Fail if the product's stock or the customer's orders have changed at the end of the block."""
    before = customer.stock(product["sku"]), customer.order_ids()
    yield
    assert (customer.stock(product["sku"]), customer.order_ids()) == before


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token, read without a key."""
    header, claims, _ = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(header), json.loads(claims)
