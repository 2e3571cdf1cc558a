"""ETags of orders and products, and cancelling on a condition."""

from collections import Counter
from collections.abc import Callable
from uuid import uuid4

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from modules.orders import commands
from modules.orders.models import Order, Product
from modules.orders.tests.shop import ORDERS, PRODUCTS, at_once, customer, everything, keyed, lines, stocked
from pangaea.messages import Money

V2 = "/api/v2/orders"
VERSIONS = pytest.mark.parametrize("orders", [ORDERS, V2])


@pytest.mark.django_db(databases=["orders"])
class TestAProduct:
    def test_is_not_sent_again_until_it_changes(self) -> None:
        stocked("ABC-1", stock=10)
        client = APIClient()
        url = f"{PRODUCTS}/ABC-1"
        tag = client.get(url).headers["ETag"]
        assert client.get(url, headers={"If-None-Match": tag}).status_code == 304
        changes: list[Callable[[], object]] = [
            lambda: commands.adjust_stock(sku="ABC-1", by=1),
            lambda: commands.change_product(
                sku="ABC-1", name="Other", description="", price=Money(1, "EUR"), active=True
            ),
            lambda: customer().post(ORDERS, lines(ABC_1=1)),
            lambda: Product.objects.update(description="In bulk"),
        ]
        for change in changes:
            with transaction.atomic(using="orders"):
                change()
            response = client.get(url, headers={"If-None-Match": tag})
            assert response.status_code == 200
            assert response.headers["ETag"] != tag
            tag = response.headers["ETag"]

    def test_that_is_made_again_has_another_tag(self) -> None:
        tags = []
        for name in ("First", "Second"):
            stocked("ABC-1", name=name)
            tags.append(APIClient().get(f"{PRODUCTS}/ABC-1").headers["ETag"])
            Product.objects.all().delete()
        assert tags[0] != tags[1]

    def test_may_be_kept_by_any_cache_that_asks(self) -> None:
        stocked("ABC-1")
        for url in (PRODUCTS, f"{PRODUCTS}/ABC-1"):
            assert APIClient().get(url).headers["Cache-Control"] == "public, no-cache"
        assert "ETag" not in APIClient().get(PRODUCTS).headers


@pytest.mark.django_db(databases=["orders"])
class TestAnOrder:
    @VERSIONS
    def test_has_one_tag_in_every_answer(self, orders: str) -> None:
        stocked("ABC-1")
        client = customer()
        placed = client.post(orders, lines(ABC_1=1), **keyed())
        url = f"{orders}/{placed.json()['id']}"
        read = client.get(url)
        assert placed.headers["ETag"] == read.headers["ETag"]
        assert read.headers["Cache-Control"] == "private, no-cache"
        assert "Authorization" in read.headers["Vary"]
        assert client.get(url, headers={"If-None-Match": read.headers["ETag"]}).status_code == 304
        cancelled = client.post(f"{url}/cancel", **keyed(if_match=read.headers["ETag"]))
        assert cancelled.status_code == 200
        assert cancelled.headers["Content-Location"] == url
        assert cancelled.headers["ETag"] == client.get(url).headers["ETag"] != read.headers["ETag"]

    @VERSIONS
    def test_is_cancelled_only_in_the_state_that_the_caller_knows(self, orders: str) -> None:
        stocked("ABC-1")
        client = customer()
        url = f"{orders}/{client.post(orders, lines(ABC_1=1), **keyed()).json()['id']}"
        before = everything()
        response = client.post(f"{url}/cancel", **keyed(if_match='"2"'))
        assert (response.status_code, response.json()["code"]) == (412, "precondition_failed")
        assert response.headers["Cache-Control"] == "no-store"
        assert everything() == before
        assert client.post(f"{url}/cancel", **keyed(if_match='"1"')).status_code == 200

    def test_is_cancelled_on_a_condition_alone_in_version_2(self) -> None:
        stocked("ABC-1")
        client = customer()
        order_id = client.post(ORDERS, lines(ABC_1=1)).json()["id"]
        response = client.post(f"{V2}/{order_id}/cancel", **keyed())
        assert (response.status_code, response.json()["code"]) == (428, "precondition_required")
        assert client.post(f"{ORDERS}/{order_id}/cancel").status_code == 200

    @VERSIONS
    def test_that_is_cancelled_is_so_to_a_repeat_whatever_its_condition(self, orders: str) -> None:
        stocked("ABC-1")
        client = customer()
        placed = client.post(orders, lines(ABC_1=1), **keyed())
        url = f"{orders}/{placed.json()['id']}/cancel"
        key = keyed(if_match=placed.headers["ETag"])
        first, repeat = [client.post(url, **key) for _ in range(2)]
        assert (first.status_code, repeat.status_code) == (200, 200)
        assert repeat.headers["Idempotent-Replayed"] == "true"
        assert repeat.headers["ETag"] == first.headers["ETag"]


@pytest.mark.django_db(databases=["orders"], transaction=True)
class TestWritersThatKnowTheSameState:
    def test_cancel_an_order_once(self) -> None:
        stocked("ABC-1")
        me = uuid4()
        placed = customer(me).post(ORDERS, lines(ABC_1=1))
        url = f"{V2}/{placed.json()['id']}/cancel"
        tag = placed.headers["ETag"]
        responses = at_once(8, lambda _: customer(me).post(url, **keyed(if_match=tag)))
        assert Counter(response.status_code for response in responses) == {200: 1, 412: 7}
        assert Order.objects.get().version == 2
