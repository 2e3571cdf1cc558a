"""What strangers write, in every topology: one spelling of ids, addresses and passwords, and escaped text in logs."""

import secrets
from urllib.parse import quote

import pytest

from pangaea.testing import wait_until
from tests.acceptance.shop import Customer, Shop
from tests.acceptance.topologies import Deployment

SKU = "MAP-PANGAEA"
COMPOSED, DECOMPOSED = "caf\u00e9 tectonic", "cafe\u0301 tectonic"
HAPROXYS_ID = "0A000AE6:B220_AC110002:01BB"


def register(shop: Shop, *, email: str, password: str = COMPOSED, full_name: str = "Ada Lovelace") -> dict[str, str]:
    account = {"email": email, "password": password, "full_name": full_name}
    answer = shop.post("/api/v1/accounts", json=account)
    assert answer.status_code == 201, answer.text
    registered: dict[str, str] = answer.json()
    return registered


class TestAnId:
    def test_may_have_capitals(self, customer: Customer) -> None:
        order_id = customer.place((SKU, 1))["id"]
        customer.page(order_id)
        checkout = customer.outcome(customer.check_out((SKU, 1)))

        assert customer.get(f"/api/v1/orders/{order_id.upper()}").json()["id"] == order_id
        assert customer.get(f"/bff/v1/orders/{order_id.upper()}").json()["id"] == order_id
        assert customer.get(f"/bff/v1/checkouts/{checkout['id'].upper()}").json() == checkout
        assert customer.post(f"/api/v1/orders/{order_id.upper()}/cancel").json()["status"] == "cancelled"


class TestAnAccount:
    def test_has_one_spelling_of_its_name_and_one_domain(self, shop: Shop) -> None:
        local = f"info-{secrets.token_hex(4)}"
        one = register(shop, email=f"{local}@straße.example", full_name=" Zoe\u0308 ")
        other = register(shop, email=f"{local}@strasse.example")

        assert (one["email"], one["full_name"]) == (f"{local}@xn--strae-oqa.example", "Zoë")
        assert other["email"] == f"{local}@strasse.example"


class TestAPassword:
    def test_is_right_in_any_spelling(self, shop: Shop) -> None:
        email = f"ada-{secrets.token_hex(4)}@example.com"
        register(shop, email=email, password=DECOMPOSED)

        for sent, status in ((COMPOSED, 200), (COMPOSED.upper(), 401)):
            assert shop.post("/api/v1/tokens", json={"email": email, "password": sent}).status_code == status


@pytest.fixture(scope="module")
def marks(shop: Shop) -> dict[str, str]:
    """What was sent in each header and in a path. All at once, because Envoy writes its log every ten seconds."""
    marks = {}
    for header in ("X-Request-ID", "X-Correlation-ID"):
        marks[header] = f"{HAPROXYS_ID}_{secrets.token_hex(4).upper()}"
        answer = shop.get("/api/v1/products?limit=1", headers={header: marks[header]})
        assert answer.headers["X-Correlation-ID"] == marks[header]
    marks["path"] = secrets.token_hex(4)
    evil = f"\x1b[2J\x9b31m\u202e{marks['path']}"
    assert shop.get(f"/api/v1/products/{quote(evil)}").status_code == 404
    return marks


class TestTheLogs:
    @pytest.mark.parametrize("header", ["X-Request-ID", "X-Correlation-ID"])
    def test_have_one_id_of_a_request(self, deployment: Deployment, marks: dict[str, str], header: str) -> None:
        assert logged(deployment, marks[header]) == entrances(deployment)

    def test_obey_no_path(self, deployment: Deployment, marks: dict[str, str]) -> None:
        name = marks["path"]
        assert logged(deployment, name) == entrances(deployment)
        for process in deployment.workspace.processes:
            (*lines,) = (line for line in process.log.read_text().split("\n") if name in line)
            assert len(lines) <= 1
            assert all(line.isprintable() for line in lines)


def entrances(deployment: Deployment) -> set[str]:
    """The processes that log a request for a product: those between the client and the module."""
    return {"local": {"runserver"}, "services": {"envoy", "orders-web"}, "split": {"gateway", "orders-web"}}.get(
        deployment.name, {"all-web"}
    )


def logged(deployment: Deployment, text: str) -> set[str]:
    """The processes with a line that contains this text, once those that serve the request have one."""

    def found() -> set[str]:
        return {each.name for each in deployment.workspace.processes if text in each.log.read_text()}

    wait_until(lambda: found() >= entrances(deployment), what=f"{text} in the logs of {entrances(deployment)}")
    return found()
