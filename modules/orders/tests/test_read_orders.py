from base64 import b64encode
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from pytest_django import DjangoAssertNumQueries

from modules.orders.tests.shop import ORDERS, customer, lines, stocked

pytestmark = pytest.mark.django_db(databases=["orders"])


def place(subject: UUID, count: int) -> list[str]:
    """The ids of this many orders, the latest first."""
    return [customer(subject).post(ORDERS, lines(ABC_1=1, ABC_2=1)).json()["id"] for _ in range(count)][::-1]


@pytest.fixture(autouse=True)
def catalogue() -> None:
    stocked("ABC-1", stock=1_000)
    stocked("ABC-2", stock=1_000)


class TestReadOrder:
    def test_gives_the_order_that_was_placed(self) -> None:
        client = customer()
        placed = client.post(ORDERS, lines(ABC_1=2)).json()
        assert client.get(f"{ORDERS}/{placed['id']}").json() == placed

    def test_finds_it_by_its_id_in_capitals(self) -> None:
        client = customer()
        placed = client.post(ORDERS, lines(ABC_1=2)).json()
        assert client.get(f"{ORDERS}/{placed['id'].upper()}").json() == placed

    def test_does_not_find_anybody_elses_nor_one_that_never_was(self) -> None:
        [theirs] = place(uuid4(), 1)
        for order_id in (theirs, uuid4()):
            response = customer().get(f"{ORDERS}/{order_id}")
            assert response.status_code == 404
            assert response.json()["code"] == "order_not_found"

    @pytest.mark.parametrize(
        "path",
        [
            "/not-an-id",
            "/1",
            "/",
            "/00000000-0000-0000-0000-000000000000/refund",
            "/00000000000000000000000000000000",
            "/{00000000-0000-0000-0000-000000000000}",
            "/urn:uuid:00000000-0000-0000-0000-000000000000",
        ],
    )
    def test_does_not_find_what_is_no_order(self, path: str) -> None:
        assert customer().get(ORDERS + path).status_code == 404

    def test_needs_the_scope_to_read(self) -> None:
        subject = uuid4()
        [mine] = place(subject, 1)
        for path in (ORDERS, f"{ORDERS}/{mine}"):
            assert customer(subject, "orders:write").get(path).status_code == 403

    def test_takes_two_queries(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        subject = uuid4()
        [mine] = place(subject, 1)
        client = customer(subject)
        with django_assert_num_queries(2, using="orders"):
            client.get(f"{ORDERS}/{mine}")


class TestListOrders:
    def test_gives_ones_own_the_latest_first(self) -> None:
        subject = uuid4()
        place(uuid4(), 2)
        mine = place(subject, 3)
        page = customer(subject).get(ORDERS).json()
        assert [order["id"] for order in page["results"]] == mine
        assert (page["next"], page["previous"]) == (None, None)

    def test_gives_every_order_once_over_all_pages_and_back(self) -> None:
        subject = uuid4()
        mine = place(subject, 7)
        client = customer(subject)
        pages = [client.get(ORDERS, {"limit": 3}).json()]
        while following := pages[-1]["next"]:
            pages.append(client.get(following).json())
        assert [order["id"] for page in pages for order in page["results"]] == mine
        assert [len(page["results"]) for page in pages] == [3, 3, 1]
        assert client.get(pages[-1]["previous"]).json()["results"] == pages[1]["results"]

    def test_shows_the_same_as_reading_one(self) -> None:
        subject = uuid4()
        [mine] = place(subject, 1)
        client = customer(subject)
        assert client.get(ORDERS).json()["results"] == [client.get(f"{ORDERS}/{mine}").json()]

    def test_is_ordered_and_narrowed(self) -> None:
        subject = uuid4()
        latest, second, first = place(subject, 3)
        client = customer(subject)
        client.post(f"{ORDERS}/{second}/cancel")
        times = {order["id"]: quote(order["placed_at"]) for order in client.get(ORDERS).json()["results"]}

        def ids(query: str) -> list[str]:
            return [order["id"] for order in client.get(f"{ORDERS}?{query}").json()["results"]]

        assert ids("order=placed") == [first, second, latest]
        assert ids("order=-placed") == [latest, second, first]
        assert ids("status=cancelled") == [second]
        assert ids(f"placed_since={times[second]}") == [latest, second]
        assert ids(f"placed_before={times[second]}&order=placed") == [first]
        assert ids(f"placed_since={times[second]}&placed_before={times[latest]}&status=placed") == []
        assert ids("placed_since=0001-01-01T00:00:00Z&placed_before=9999-12-31T23:59:59Z") == [latest, second, first]

    @pytest.mark.parametrize("content", ["p=123", "p=not-an-id", "r=1&p=%00", "p=%ED%A0%80", "o=-1"])
    def test_refuses_a_made_up_cursor(self, content: str) -> None:
        subject = uuid4()
        place(subject, 2)
        response = customer(subject).get(ORDERS, {"cursor": b64encode(content.encode()).decode()})
        assert response.status_code == 400
        assert response.json()["errors"][0]["parameter"] == "cursor"

    def test_of_nobody_elses_orders_with_their_cursor(self) -> None:
        theirs, mine = uuid4(), uuid4()
        place(theirs, 3)
        place(mine, 1)
        following = customer(theirs).get(ORDERS, {"limit": 1}).json()["next"]
        assert customer(mine).get(following).json()["results"] == []

    @pytest.mark.parametrize("count", [1, 20])
    def test_takes_two_queries_however_many(
        self, count: int, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        subject = uuid4()
        place(subject, count)
        client = customer(subject)
        with django_assert_num_queries(2, using="orders"):
            assert len(client.get(ORDERS).json()["results"]) == count


class TestOptions:
    @pytest.mark.parametrize("path", ["", "/00000000-0000-0000-0000-000000000000"])
    def test_says_which_methods_there_are(self, path: str) -> None:
        response = customer().options(ORDERS + path)
        assert response.status_code < 300
        assert "GET" in response["Allow"]

    def test_of_an_unknown_method_is_not_allowed(self) -> None:
        assert customer().delete(ORDERS).status_code == 405
