"""The two versions of the orders' API are two views of the same orders; version 1 stays unchanged."""

from typing import Any
from uuid import uuid4

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from modules.orders.tests.shop import ORDERS, customer, keyed, lines, published, stock_of, stocked

pytestmark = pytest.mark.django_db(databases=["orders"])

V2 = "/api/v2/orders"
DEPRECATION = "@1796083200"
SUNSET = "Thu, 01 Jul 2027 00:00:00 GMT"
LINKS = ('</api/v2/orders>; rel="successor-version"', '</deprecations/api/v1/orders>; rel="deprecation"')


def same(document: Any, **values: Any) -> Any:
    """The document with the values of these members instead of its own, at every depth."""
    match document:
        case dict():
            return {key: values.get(key, same(value, **values)) for key, value in document.items()}
        case list():
            return [same(each, **values) for each in document]
    return document


@pytest.fixture
def client() -> APIClient:
    stocked("ABC-1", amount=250, name="The first")
    stocked("ABC-2", amount=1_000)
    return customer()


class TestVersion1:
    def test_has_the_members_that_it_always_had(self, client: APIClient) -> None:
        placed = client.post(ORDERS, lines(ABC_1=2)).json()

        assert same(placed, id="...", placed_at="...") == {
            "id": "...",
            "status": "placed",
            "lines": [
                {
                    "sku": "ABC-1",
                    "name": "The first",
                    "quantity": 2,
                    "unit_price": {"amount": 250, "currency": "EUR"},
                }
            ],
            "total": {"amount": 500, "currency": "EUR"},
            "placed_at": "...",
            "cancelled_at": None,
        }
        page = client.get(ORDERS).json()
        assert (list(page), page["results"]) == (["next", "previous", "results"], [placed])

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("get", "", 200),
            ("get", "/00000000-0000-0000-0000-000000000000", 404),
            ("get", "/no-such-page", 404),
            ("get", "/no/such/page", 404),
            ("post", "", 400),
            ("put", "", 405),
            ("options", "", 200),
        ],
    )
    def test_announces_its_end_in_every_answer(self, client: APIClient, method: str, path: str, status: int) -> None:
        answer = getattr(client, method)(ORDERS + path)

        assert answer.status_code == status
        assert (answer["Deprecation"], answer["Sunset"]) == (DEPRECATION, SUNSET)
        for link in LINKS:
            assert link in answer["Link"]

    def test_announces_its_end_to_callers_without_a_token(self) -> None:
        answer = APIClient().get(ORDERS)
        assert (answer.status_code, answer["Deprecation"]) == (401, DEPRECATION)

    @pytest.mark.parametrize("path", [V2, "/api/v1/products", "/api/v1/orders-archive", "/api/v1"])
    def test_ends_alone(self, client: APIClient, path: str) -> None:
        assert "Deprecation" not in client.get(path)
        assert "Sunset" not in client.get(path)


class TestVersion2:
    def test_answers_with_a_snapshot_of_each_product_and_with_links(self, client: APIClient) -> None:
        answer = client.post(V2, lines(ABC_1=2, ABC_2=1), **keyed())
        order = answer.json()

        assert answer.status_code == 201
        address = f"{V2}/{order['id']}"
        assert answer["Location"] == address
        assert same(order, placed_at="...") == {
            "id": order["id"],
            "status": "placed",
            "lines": [
                {
                    "product": {"sku": "ABC-1", "name": "The first"},
                    "quantity": 2,
                    "unit_price": {"amount": 250, "currency": "EUR"},
                    "total": {"amount": 500, "currency": "EUR"},
                },
                {
                    "product": {"sku": "ABC-2", "name": "The ABC-2"},
                    "quantity": 1,
                    "unit_price": {"amount": 1_000, "currency": "EUR"},
                    "total": {"amount": 1_000, "currency": "EUR"},
                },
            ],
            "total": {"amount": 1_500, "currency": "EUR"},
            "placed_at": "...",
            "cancelled_at": None,
            "version": 1,
            "links": {"self": address, "collection": V2, "cancel": f"{address}/cancel"},
        }
        assert client.get(order["links"]["self"]).json() == order
        assert client.get(order["links"]["collection"]).json()["results"] == [order]

    def test_has_no_link_to_cancel_what_is_cancelled(self, client: APIClient) -> None:
        order = client.post(V2, lines(ABC_1=2), **keyed()).json()
        cancelled = client.post(order["links"]["cancel"], **keyed(if_match=f'"{order["version"]}"')).json()

        assert (cancelled["status"], cancelled["version"], cancelled["links"]["cancel"]) == ("cancelled", 2, None)
        assert cancelled == client.get(order["links"]["self"]).json()
        assert stock_of("ABC-1") == 10

    def test_shows_the_orders_of_version_1_and_the_other_way_round(self, client: APIClient) -> None:
        first = client.post(ORDERS, lines(ABC_1=1)).json()["id"]
        second = client.post(V2, lines(ABC_1=1), **keyed()).json()["id"]

        for version in (ORDERS, V2):
            assert [each["id"] for each in client.get(version).json()["results"]] == [second, first]
        assert client.post(f"{ORDERS}/{second}/cancel").status_code == 200
        assert client.post(f"{V2}/{second}/cancel", **keyed(if_match="*")).json()["code"] == "order_not_cancellable"
        assert len(published("orders.order_placed")) == 2

    @pytest.mark.parametrize("body", [{}, lines(ABC_1=0), lines(NO_SUCH=1), lines(ABC_1=11), {"lines": [], "x": 1}])
    def test_refuses_what_version_1_refuses(self, client: APIClient, body: object) -> None:
        old, new = client.post(ORDERS, body), client.post(V2, body, **keyed())

        assert old.status_code == new.status_code >= 400
        varying = {"instance": "...", "correlation_id": "..."}
        assert same(old.json(), **varying) == same(new.json(), **varying)

    def test_needs_the_same_scopes(self, client: APIClient) -> None:
        order = client.post(V2, lines(ABC_1=1), **keyed()).json()
        reader, writer = customer(None, "orders:read"), customer(None, "orders:write")
        assert reader.post(V2, lines(ABC_1=1), **keyed()).status_code == 403
        assert reader.post(order["links"]["cancel"]).status_code == 403
        assert writer.get(V2).status_code == 403
        assert APIClient().get(V2).status_code == 401

    def test_does_not_find_the_order_of_another_customer(self, client: APIClient) -> None:
        order = client.post(V2, lines(ABC_1=1), **keyed()).json()
        for answer in (
            customer().get(order["links"]["self"]),
            customer().post(order["links"]["cancel"], **keyed(if_match="*")),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "order_not_found")

    def test_takes_as_many_queries_as_version_1(
        self, client: APIClient, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        order = client.post(V2, lines(ABC_1=1, ABC_2=1), **keyed()).json()
        for path in (V2, order["links"]["self"]):
            with django_assert_num_queries(2, using="orders"):
                client.get(path)


class TestAVersionThatDoesNotExist:
    @pytest.mark.parametrize(
        ("path", "versions"),
        [
            ("/api/v9/orders", ["v1", "v2"]),
            (f"/api/v0/orders/{uuid4()}/cancel", ["v1", "v2"]),
            ("/api/v1.1/orders", ["v1", "v2"]),
            ("/api/v2/products", ["v1"]),
            ("/api/v2/products/ABC-1", ["v1"]),
        ],
    )
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_is_named_with_those_there_are(self, path: str, versions: list[str], method: str) -> None:
        answer = getattr(APIClient(), method)(path)

        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["versions"]) == (404, "unknown_version", versions)
        assert problem["instance"] == path

    @pytest.mark.parametrize(
        "path", ["/api/v9/nothing", "/api/v9", "/api/orders", "/api/v/orders", "/api/v9/orders-archive", "/v9/orders"]
    )
    def test_of_nothing_is_nothing(self, path: str) -> None:
        assert APIClient().get(path).json()["code"] == "not_found"
