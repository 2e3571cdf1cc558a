import re

import pytest
from django.db import IntegrityError, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from modules.orders import commands
from modules.orders.models import MAX_STOCK, Product
from modules.orders.rules.pricing import MAX_PRICE
from modules.orders.tests.shop import PRODUCTS, everything, published, stock_of, stocked
from pangaea.errors import Conflict, Invalid, NotFound
from pangaea.messages import Money

pytestmark = pytest.mark.django_db(databases=["orders"])


def of_one_name(skus: list[str]) -> None:
    """Products for sale that differ by their skus alone, stored in another order."""
    Product.objects.bulk_create(
        Product(sku=sku, name="T-shirt", price_amount=1, price_currency="EUR", changed_at=timezone.now())
        for sku in sorted(skus, key=lambda sku: sku[::-1])
    )


def walked(url: str | None) -> list[str]:
    """The skus of this page and of those that follow."""
    found: list[str] = []
    while url:
        assert len(found) <= 2_000, "the walk does not end"
        page = APIClient().get(url).json()
        found += [product["sku"] for product in page["results"]]
        url = page["next"]
    return found


class TestListProducts:
    def test_shows_what_is_for_sale_by_name_to_anybody(self) -> None:
        stocked("B-1", name="Zebra")
        stocked("A-1", name="Globe", amount=5_900, stock=3, description="Round.")
        stocked("C-1", name="Hidden", active=False)
        page = APIClient().get(PRODUCTS).json()
        assert [product["sku"] for product in page["results"]] == ["A-1", "B-1"]
        assert page["results"][0] == {
            "sku": "A-1",
            "name": "Globe",
            "description": "Round.",
            "price": {"amount": 5_900, "currency": "EUR"},
            "in_stock": 3,
        }

    def test_gives_each_of_1300_products_of_one_name_once_and_ends(self) -> None:
        skus = [f"TEE-{number:05}" for number in range(1_300)]
        of_one_name(skus)
        assert walked(f"{PRODUCTS}?limit=100") == skus

    def test_gives_none_twice_when_one_is_added_before(self) -> None:
        skus = [f"TEE-{number:05}" for number in range(30)]
        of_one_name(skus)
        first = APIClient().get(PRODUCTS).json()
        stocked("A-1", name="T-shirt")
        assert [each["sku"] for each in first["results"]] + walked(first["next"]) == skus

    @pytest.mark.parametrize(
        ("query", "skus"),
        [
            ("order=-name", ["D-1", "C-1", "B-1", "A-1"]),
            ("order=price", ["A-1", "C-1", "B-1", "D-1"]),
            ("order=-price", ["D-1", "B-1", "C-1", "A-1"]),
            ("in_stock=true", ["A-1", "C-1", "D-1"]),
            ("in_stock=false", ["B-1"]),
            ("currency=EUR", ["A-1", "B-1", "C-1"]),
            ("currency=EUR&price_min=200&order=price", ["C-1", "B-1"]),
            ("currency=EUR&price_max=200", ["A-1", "C-1"]),
            ("currency=CHF", []),
        ],
    )
    def test_is_ordered_and_narrowed(self, query: str, skus: list[str]) -> None:
        stocked("A-1", amount=100)
        stocked("B-1", amount=300, stock=0)
        stocked("C-1", amount=200)
        stocked("D-1", amount=50, currency="USD")
        assert walked(f"{PRODUCTS}?{query}&limit=1") == skus

    @pytest.mark.parametrize(
        "query", ["order=sku", "in_stock=yes", "currency=eur", "currency=EUR%0A", "price_min=-1", "price_max=1e3"]
    )
    def test_names_what_cannot_be_a_filter(self, query: str) -> None:
        response = APIClient().get(f"{PRODUCTS}?{query}")
        assert response.status_code == 400
        assert [each["parameter"] for each in response.json()["errors"]] == [query.partition("=")[0]]

    def test_continues_by_an_index(self, engine: str) -> None:
        of_one_name([f"TEE-{number:05}" for number in range(30)])
        for ordering in ("name", "-name", "price", "-price"):
            first = APIClient().get(f"{PRODUCTS}?order={ordering}").json()
            with CaptureQueriesContext(connections["orders"]) as queries, connections["orders"].cursor() as cursor:
                if engine == "postgresql":
                    cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
                APIClient().get(first["next"])
            with connections["orders"].cursor() as cursor:
                prefix = "EXPLAIN" if engine == "postgresql" else "EXPLAIN QUERY PLAN"
                cursor.execute(f"{prefix} {queries.captured_queries[-1]['sql']}")
                plan = str(cursor.fetchall())
            assert re.search(r"Index Cond: \(ROW\(|SEARCH orders_product USING INDEX \w+ \(\(", plan), plan
            assert "Sort" not in plan
            assert "TEMP B-TREE" not in plan

    def test_takes_one_query(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        for number in range(20):
            stocked(f"ABC-{number}")
        with django_assert_num_queries(1, using="orders"):
            assert len(APIClient().get(PRODUCTS).json()["results"]) == 20

    def test_does_not_care_about_a_bad_token(self) -> None:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION="Bearer nonsense")
        assert client.get(PRODUCTS).status_code == 200


class TestReadProduct:
    def test_shows_a_product_for_sale(self) -> None:
        stocked("ABC-1", name="Globe")
        assert APIClient().get(f"{PRODUCTS}/ABC-1").json()["name"] == "Globe"

    def test_does_not_find_one_that_is_not_for_sale_nor_one_that_never_was(self) -> None:
        stocked("OLD-1", active=False)
        for sku in ("OLD-1", "NO-SUCH"):
            response = APIClient().get(f"{PRODUCTS}/{sku}")
            assert (response.status_code, response.json()["code"]) == (404, "product_not_found")

    @pytest.mark.parametrize(
        "sku", ["ABC-1%0A", "%0AABC-1", "abc-1", "A" * 33, "%ED%A0%80", "%E2%82%AC", "ABC-1/x", "", ".."]
    )
    def test_does_not_find_what_cannot_be_a_sku(self, sku: str) -> None:
        stocked("ABC-1")
        assert APIClient().get(f"{PRODUCTS}/{sku}").status_code == 404


class TestAddProduct:
    def test_publishes_the_entry(self) -> None:
        stocked("ABC-1", name="Globe", amount=5_900, description="Round.", stock=7)
        [message] = published("orders.product_changed")
        assert (message.key, message.version) == ("ABC-1", 2)
        assert message.payload == {
            "op": "create",
            "before": None,
            "after": {
                "sku": "ABC-1",
                "name": "Globe",
                "description": "Round.",
                "price": {"amount": 5_900, "currency": "EUR"},
                "active": True,
            },
        }

    def test_refuses_a_sku_in_use_and_leaves_the_transaction_usable(self) -> None:
        stocked("ABC-1", name="First")
        before = everything()
        with transaction.atomic(using="orders"):
            with pytest.raises(Conflict, match="sku_taken"):
                commands.add_product(sku="ABC-1", name="Second", price=Money(1, "EUR"))
            assert everything() == before

    @pytest.mark.usefixtures("postgresql_only")
    def test_does_not_mistake_another_constraint_for_the_skus(self) -> None:
        with connections["orders"].cursor() as cursor:
            cursor.execute("ALTER TABLE orders_product ADD CONSTRAINT in_stock CHECK (stock > 0)")
        with pytest.raises(IntegrityError, match="in_stock"), transaction.atomic(using="orders"):
            stocked("ABC-1", stock=0)

    @pytest.mark.parametrize(
        ("field", "entry"),
        [
            ("sku", {"sku": "abc"}),
            ("sku", {"sku": "A--B"}),
            ("sku", {"sku": "A" * 33}),
            ("sku", {"sku": "ABC\n"}),
            ("name", {"name": ""}),
            ("name", {"name": "n" * 201}),
            ("description", {"description": "d" * 2_001}),
            ("price_amount", {"amount": -1}),
            ("price_amount", {"amount": MAX_PRICE + 1}),
            ("price_currency", {"currency": "eur"}),
            ("price_currency", {"currency": ""}),
            ("stock", {"stock": -1}),
            ("stock", {"stock": MAX_STOCK + 1}),
        ],
    )
    def test_names_the_field_that_cannot_be_so(self, field: str, entry: dict[str, object]) -> None:
        with pytest.raises(Invalid, match="invalid_product") as refusal:
            stocked(**{"sku": "ABC-1", **entry})  # type: ignore[arg-type]
        assert list(refusal.value.details["fields"]) == [field]  # type: ignore[call-overload]
        assert everything()["products"] == []


class TestChangeProduct:
    def test_publishes_the_entry_and_leaves_the_stock_alone(self) -> None:
        stocked("ABC-1", stock=7)
        with transaction.atomic(using="orders"):
            commands.change_product(sku="ABC-1", name="Other", description="", price=Money(1, "USD"), active=False)
        payload = published("orders.product_changed")[-1].payload
        assert (payload["op"], payload["before"]["name"]) == ("update", "The ABC-1")
        assert (payload["after"]["name"], payload["after"]["price"]) == ("Other", {"amount": 1, "currency": "USD"})
        assert payload["after"]["active"] is False
        assert stock_of("ABC-1") == 7

    def test_says_nothing_when_nothing_changes(self) -> None:
        product = stocked("ABC-1")
        before = everything()
        with transaction.atomic(using="orders"):
            commands.change_product(
                sku="ABC-1", name=product.name, description=product.description, price=product.price, active=True
            )
        assert everything() == before

    def test_publishes_also_what_no_command_changed(self) -> None:
        stocked("ABC-1", stock=7)
        Product.objects.update(name="In bulk")
        Product.objects.update(stock=3)
        Product.objects.all().delete()
        changes = [(message.payload["op"], message.key) for message in published("orders.product_changed")]
        assert changes == [("create", "ABC-1"), ("update", "ABC-1"), ("delete", "ABC-1")]

    def test_refuses_an_unknown_product(self) -> None:
        with pytest.raises(NotFound, match="product_not_found"), transaction.atomic(using="orders"):
            commands.change_product(sku="NO-SUCH", name="x", description="", price=Money(1, "EUR"), active=True)


class TestAdjustStock:
    @pytest.mark.parametrize(("by", "left"), [(5, 15), (-10, 0), (MAX_STOCK - 10, MAX_STOCK)])
    def test_adds_the_difference(self, by: int, left: int) -> None:
        stocked("ABC-1", stock=10)
        with transaction.atomic(using="orders"):
            commands.adjust_stock(sku="ABC-1", by=by)
        assert stock_of("ABC-1") == left

    @pytest.mark.parametrize("by", [-11, MAX_STOCK - 9])
    def test_refuses_to_leave_the_range(self, by: int) -> None:
        stocked("ABC-1", stock=10)
        with pytest.raises(Conflict, match="stock_out_of_range"), transaction.atomic(using="orders"):
            commands.adjust_stock(sku="ABC-1", by=by)
        assert stock_of("ABC-1") == 10

    def test_refuses_an_unknown_product(self) -> None:
        with pytest.raises(NotFound, match="product_not_found"), transaction.atomic(using="orders"):
            commands.adjust_stock(sku="NO-SUCH", by=1)
