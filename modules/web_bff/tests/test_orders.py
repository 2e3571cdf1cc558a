from uuid import UUID

import pytest

from modules.web_bff.models import OrderSummary
from modules.web_bff.tests import received
from modules.web_bff.tests.conftest import Answering
from pangaea.ids import uuid7
from pangaea.testing import client_for

pytestmark = pytest.mark.django_db(databases="__all__")

ORDERS = "/bff/v1/orders"


class TestOrders:
    def test_begin_empty(self, customer_id: UUID) -> None:
        assert client_for(customer_id).get(ORDERS).json() == {"next": None, "previous": None, "results": []}

    def test_are_mine_alone(self, customer_id: UUID) -> None:
        mine = received.order_placed(customer_id)
        received.order_placed(uuid7())

        results = client_for(customer_id).get(ORDERS).json()["results"]

        assert [order["id"] for order in results] == [str(mine)]

    def test_are_paged_from_the_latest_to_the_first_without_a_gap(self, customer_id: UUID) -> None:
        # The last three share a moment: the page must not lose one of them at its edge.
        placed = [received.order_placed(customer_id, minutes=min(number, 4)) for number in range(7)]
        client = client_for(customer_id)

        seen, url = [], f"{ORDERS}?limit=2"
        while url:
            page = client.get(url).json()
            assert len(page["results"]) <= 2
            seen += [order["id"] for order in page["results"]]
            url = page["next"]

        tied, earlier = sorted(map(str, placed[4:]), reverse=True), [str(order) for order in placed[3::-1]]
        assert seen == tied + earlier

    def test_stay_in_place_on_the_next_page_while_more_arrive(self, customer_id: UUID) -> None:
        placed = [received.order_placed(customer_id, minutes=number) for number in range(4)]
        client = client_for(customer_id)
        first = client.get(f"{ORDERS}?limit=2").json()

        received.order_placed(customer_id, minutes=9)

        second = client.get(first["next"]).json()
        assert [order["id"] for order in second["results"]] == [str(placed[1]), str(placed[0])]

    def test_are_ordered_and_narrowed(self, customer_id: UUID) -> None:
        first, second, third = [str(received.order_placed(customer_id, minutes=number)) for number in range(3)]
        received.order_cancelled(UUID(second), customer_id)
        client = client_for(customer_id)

        def ids(query: str) -> list[str]:
            return [order["id"] for order in client.get(f"{ORDERS}?{query}").json()["results"]]

        assert ids("order=placed") == [first, second, third]
        assert ids("status=placed") == [third, first]
        assert ids("placed_since=2030-01-01T12:01:00Z") == [third, second]
        assert ids("placed_before=2030-01-01T12:01:00Z") == [first]
        assert client.get(f"{ORDERS}?status=lost").status_code == 400

    def test_refuse_a_cursor_that_is_none(self, customer_id: UUID) -> None:
        response = client_for(customer_id).get(f"{ORDERS}?cursor=%00garbage")

        assert response.status_code in {400, 404}
        assert response["Content-Type"].startswith("application/problem+json")

    @pytest.mark.parametrize("count", [1, 30])
    def test_take_one_query_however_many_there_are(
        self, customer_id: UUID, count: int, answered_with: Answering
    ) -> None:
        for number in range(count):
            received.order_placed(customer_id, received.line("TEA-1"), received.line("CUP-1"), minutes=number)
        client = client_for(customer_id)

        with answered_with(1):
            response = client.get(f"{ORDERS}?limit=100")

        assert len(response.json()["results"]) == count


class TestOrder:
    def test_shows_its_lines_and_its_timeline(self, customer_id: UUID) -> None:
        order_id = received.order_placed(
            customer_id, received.line("TEA-1", quantity=2, cents=450), received.line("CUP-1", cents=900)
        )

        assert client_for(customer_id).get(f"{ORDERS}/{order_id}").json() == {
            "id": str(order_id),
            "status": "placed",
            "lines": [
                {
                    "sku": "TEA-1",
                    "name": "The TEA-1",
                    "quantity": 2,
                    "unit_price": {"amount": 450, "currency": "EUR"},
                },
                {
                    "sku": "CUP-1",
                    "name": "The CUP-1",
                    "quantity": 1,
                    "unit_price": {"amount": 900, "currency": "EUR"},
                },
            ],
            "item_count": 3,
            "total": {"amount": 1800, "currency": "EUR"},
            "placed_at": "2030-01-01T12:00:00Z",
            "cancelled_at": None,
            "timeline": [{"at": "2030-01-01T12:00:00Z", "what": "placed"}],
        }

    def test_shows_its_cancellation(self, customer_id: UUID) -> None:
        order_id = received.order_placed(customer_id)
        received.order_cancelled(order_id, customer_id, minutes=5)

        order = client_for(customer_id).get(f"{ORDERS}/{order_id}").json()

        assert order["status"] == "cancelled"
        assert order["cancelled_at"] == "2030-01-01T12:05:00Z"
        assert order["timeline"] == [
            {"at": "2030-01-01T12:00:00Z", "what": "placed"},
            {"at": "2030-01-01T12:05:00Z", "what": "cancelled"},
        ]

    def test_tells_what_happened_in_the_order_it_was_told_even_if_the_clocks_disagree(self, customer_id: UUID) -> None:
        order_id = received.order_placed(customer_id, minutes=0)
        received.order_cancelled(order_id, customer_id, minutes=-1)

        timeline = client_for(customer_id).get(f"{ORDERS}/{order_id}").json()["timeline"]

        assert [entry["what"] for entry in timeline] == ["placed", "cancelled"]

    def test_keeps_the_names_and_prices_of_its_day(self, customer_id: UUID) -> None:
        received.product_changed("TEA-1", name="Tea", price=received.euros(450))
        order_id = received.order_placed(customer_id, received.line("TEA-1", name="Tea", cents=450))
        received.product_changed("TEA-1", name="Finest Tea", price=received.euros(990))
        client = client_for(customer_id)

        line = client.get(f"{ORDERS}/{order_id}").json()["lines"][0]
        home = client.get("/bff/v1/home").json()

        assert (line["name"], line["unit_price"]["amount"]) == ("Tea", 450)
        assert home["latest_orders"][0]["product_names"] == ["Tea"]
        assert [(each["name"], each["price"]["amount"]) for each in home["catalogue"]] == [("Finest Tea", 990)]

    def test_of_another_customer_is_not_found_like_one_that_is_not_there(self, customer_id: UUID) -> None:
        others = received.order_placed(uuid7())
        client = client_for(customer_id)

        problems = [client.get(f"{ORDERS}/{order_id}") for order_id in (others, uuid7())]

        assert [problem.status_code for problem in problems] == [404, 404]
        assert [problem.json()["code"] for problem in problems] == ["order_not_found", "order_not_found"]
        assert problems[0].json()["detail"] == problems[1].json()["detail"]

    def test_is_found_by_its_id_in_capitals(self, customer_id: UUID) -> None:
        order_id = received.order_placed(customer_id, received.line("TEA-1"))
        assert client_for(customer_id).get(f"{ORDERS}/{str(order_id).upper()}").json()["id"] == str(order_id)

    def test_with_an_id_that_is_none_is_not_found(self, customer_id: UUID) -> None:
        response = client_for(customer_id).get(f"{ORDERS}/first")

        assert response.status_code == 404
        assert response["Content-Type"].startswith("application/problem+json")

    @pytest.mark.parametrize("count", [1, 30])
    def test_takes_three_queries_however_many_lines_and_orders_there_are(
        self, customer_id: UUID, count: int, answered_with: Answering
    ) -> None:
        lines = [received.line(f"TEA-{number}") for number in range(count)]
        order_id, *_others = [received.order_placed(customer_id, *lines) for _order in range(count)]
        received.order_cancelled(order_id, customer_id)
        client = client_for(customer_id)

        with answered_with(3):
            response = client.get(f"{ORDERS}/{order_id}")

        assert len(response.json()["lines"]) == count


class TestAPageThatTheBrowserHas:
    @pytest.mark.parametrize("of", ["order", "home"])
    def test_is_sent_again_only_when_it_has_changed(self, customer_id: UUID, of: str) -> None:
        order_id = received.order_placed(customer_id)
        url = f"{ORDERS}/{order_id}" if of == "order" else "/bff/v1/home"
        client = client_for(customer_id)
        tag = client.get(url).headers["ETag"]
        assert client.get(url, headers={"If-None-Match": tag}).status_code == 304

        received.order_cancelled(order_id, customer_id)

        response = client.get(url, headers={"If-None-Match": tag})
        assert (response.status_code, response.headers["Cache-Control"]) == (200, "private, no-cache")
        assert response.headers["ETag"] != tag

    def test_has_the_same_tag_after_a_replay(self, customer_id: UUID) -> None:
        order_id = received.order_placed(customer_id)
        client = client_for(customer_id)
        tag = client.get(f"{ORDERS}/{order_id}").headers["ETag"]
        OrderSummary.objects.all().delete()

        received.order_placed(customer_id, order_id=order_id)

        assert client.get(f"{ORDERS}/{order_id}").headers["ETag"] == tag
