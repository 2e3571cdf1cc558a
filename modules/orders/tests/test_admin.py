import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connections, transaction
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from modules.orders import commands
from modules.orders.models import Customer, Order, OrderLine, Product
from modules.orders.tests.shop import ORDERS, customer, everything, lines, published, stock_of, stocked

pytestmark = pytest.mark.django_db(databases="__all__")

ENTRY = {"name": "Globe", "description": "Round.", "price_amount": "5900", "price_currency": "EUR", "active": "on"}


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root", password="correct horse"))
    return client


def visitor(*codenames: str) -> Client:
    """The client of a member of staff with these permissions only."""
    user = get_user_model().objects.create_user(f"staff-{len(codenames)}", password="correct horse", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def placed(**quantities: int) -> Order:
    return Order.objects.get(pk=customer(uuid4()).post(ORDERS, lines(**quantities)).json()["id"])


class TestProducts:
    def test_are_added_through_the_command(self, operator: Client) -> None:
        response = operator.post(reverse("admin:orders_product_add"), {"sku": "ABC-1", "stock": "7", **ENTRY})
        assert response.status_code == 302, response.context["errors"]
        assert stock_of("ABC-1") == 7
        [message] = published("orders.product_changed")
        assert (message.key, message.payload["after"]["name"]) == ("ABC-1", "Globe")

    def test_are_changed_through_the_command_with_the_stock_as_a_difference(self, operator: Client) -> None:
        stocked("ABC-1", stock=10)
        page = reverse("admin:orders_product_change", args=["ABC-1"])
        assert operator.get(page).status_code == 200
        customer().post(ORDERS, lines(ABC_1=3))
        response = operator.post(page, {**ENTRY, "adjust_stock_by": "5", "stock": "10", "sku": "OTHER"})
        assert response.status_code == 302, response.context["errors"]
        assert stock_of("ABC-1") == 12
        assert published("orders.product_changed")[-1].payload["after"]["price"] == {"amount": 5_900, "currency": "EUR"}
        assert Product.objects.count() == 1

    def test_have_one_spelling_of_their_texts(self, operator: Client) -> None:
        texts = {"name": " Cafe\u0301 ", "description": "Round.\r\nBlue.\r\n"}
        operator.post(reverse("admin:orders_product_add"), {"sku": "ABC-1", "stock": "7", **ENTRY, **texts})
        after = published("orders.product_changed")[-1].payload["after"]
        assert (after["name"], after["description"]) == ("Café", "Round.\nBlue.")

    def test_are_made_inactive_and_never_deleted(self, operator: Client) -> None:
        stocked("ABC-1")
        assert operator.post(reverse("admin:orders_product_delete", args=["ABC-1"]), {"post": "yes"}).status_code == 403
        inactive = {name: value for name, value in ENTRY.items() if name != "active"}
        operator.post(reverse("admin:orders_product_change", args=["ABC-1"]), inactive)
        assert published("orders.product_changed")[-1].payload["after"]["active"] is False

    def test_keep_all_they_had_when_one_part_is_refused(self, operator: Client) -> None:
        stocked("ABC-1", stock=10)
        before = everything()
        page = reverse("admin:orders_product_change", args=["ABC-1"])
        response = operator.post(page, {**ENTRY, "adjust_stock_by": "-11"}, follow=True)
        assert "10 of ABC-1 are left" in response.content.decode()
        assert everything() == before

    @pytest.mark.parametrize(
        "invalid",
        [
            {"sku": "abc"},
            {"price_amount": "-1"},
            {"price_currency": "eur"},
            {"stock": "-1"},
            {"sku": "ABC-1"},
            {"name": "\u200b"},
            {"name": "Globe\u202e"},
            {"name": "Globe\x1b[2J"},
            {"name": "\u2800"},
            {"description": "Round\u2066"},
            {"description": "Round\x9b"},
        ],
    )
    def test_are_not_added_with_bad_fields(self, operator: Client, invalid: dict[str, str]) -> None:
        stocked("ABC-1")
        before = everything()
        body = {"sku": "ABC-2", "stock": "7", **ENTRY, **invalid}
        assert operator.post(reverse("admin:orders_product_add"), body).status_code == 200
        assert everything() == before


class TestOrders:
    def test_are_cancelled_through_the_command(self, operator: Client) -> None:
        stocked("ABC-1", stock=10)
        order = placed(ABC_1=4)
        body = {"action": "cancel", "_selected_action": [str(order.pk)]}
        response = operator.post(reverse("admin:orders_order_changelist"), body, follow=True)
        assert "is cancelled" in response.content.decode()
        assert stock_of("ABC-1") == 10
        assert [message.key for message in published("orders.order_cancelled")] == [str(order.pk)]

    def test_are_cancelled_one_at_a_time_and_once(self, operator: Client) -> None:
        stocked("ABC-1", stock=10)
        orders = [placed(ABC_1=1), placed(ABC_1=1)]
        page = reverse("admin:orders_order_changelist")
        before = everything()
        both = operator.post(
            page, {"action": "cancel", "_selected_action": [str(each.pk) for each in orders]}, follow=True
        )
        assert "Select a single order" in both.content.decode()
        assert everything() == before
        one = {"action": "cancel", "_selected_action": [str(orders[0].pk)]}
        operator.post(page, one)
        before = everything()
        again = operator.post(page, one, follow=True)
        assert "cannot be cancelled" in again.content.decode()
        assert everything() == before

    def test_cannot_be_edited_added_or_deleted(self, operator: Client) -> None:
        stocked("ABC-1")
        order = placed(ABC_1=1)
        before = everything()
        page = reverse("admin:orders_order_change", args=[order.pk])
        assert "ABC-1" in operator.get(page).content.decode()
        assert operator.post(page, {"status": "cancelled"}).status_code == 403
        assert operator.get(reverse("admin:orders_order_add")).status_code == 403
        assert operator.post(reverse("admin:orders_order_delete", args=[order.pk]), {"post": "yes"}).status_code == 403
        assert everything() == before

    def test_are_not_cancelled_by_who_may_only_look(self) -> None:
        stocked("ABC-1")
        order = placed(ABC_1=1)
        before = everything()
        body = {"action": "cancel", "_selected_action": [str(order.pk)]}
        client, page = visitor("view_order"), reverse("admin:orders_order_changelist")
        assert str(order.pk) in client.get(page).content.decode()
        client.post(page, body)
        assert everything() == before
        visitor("view_order", "change_order").post(page, body)
        assert stock_of("ABC-1") == 10

    @pytest.mark.parametrize("spelling", ["{}", " {} "])
    def test_are_found_by_their_id_in_any_spelling(self, operator: Client, spelling: str) -> None:
        stocked("ABC-1")
        order = placed(ABC_1=1)
        for order_id in (str(order.pk), str(order.pk).upper()):
            words = spelling.format(order_id)
            page = operator.get(reverse("admin:orders_order_changelist"), {"q": words})
            assert page.context["cl"].result_count == 1, words
            assert operator.get(reverse("admin:orders_order_change", args=[words.strip()])).status_code == 200

    @pytest.mark.parametrize("words", ["nonsense", "00000000-0000-0000-0000-000000000000", "", "'"])
    def test_can_be_searched_for_anything(self, operator: Client, words: str) -> None:
        stocked("ABC-1")
        placed(ABC_1=1)
        assert operator.get(reverse("admin:orders_order_changelist"), {"q": words}).status_code == 200


class TestCustomers:
    def test_can_be_seen_and_not_edited(self, operator: Client) -> None:
        page = reverse("admin:orders_customer_changelist")
        assert operator.get(page, {"q": "ada"}).status_code == 200
        assert operator.get(reverse("admin:orders_customer_add")).status_code == 403


class TestOrdersAsPeopleReadThem:
    @pytest.fixture
    def order(self) -> Order:
        stocked("ABC-1", stock=10, amount=1_250)
        order = placed(ABC_1=2)
        Customer.objects.create(customer_id=order.customer_id, name="Ada Lovelace")
        return order

    @pytest.mark.parametrize("page", ["list", "order"])
    def test_show_the_customers_name_money_and_an_exact_time(self, operator: Client, order: Order, page: str) -> None:
        address = "admin:orders_order_changelist" if page == "list" else "admin:orders_order_change"
        text = operator.get(reverse(address, args=[] if page == "list" else [order.pk])).content.decode()
        link = reverse("admin:orders_customer_change", args=[order.customer_id])
        assert re.search(rf'<a [^>]*href="{link}">Ada Lovelace</a>', text)
        assert "25.00 EUR" in text
        assert f"{order.placed_at:%Y-%m-%d %H:%M:%S} UTC" in text

    def test_of_an_unknown_customer_show_the_id(self, operator: Client, order: Order) -> None:
        Customer.objects.all().delete()
        assert str(order.customer_id) in operator.get(reverse("admin:orders_order_changelist")).content.decode()

    @pytest.mark.parametrize(("searched", "found"), [("ABC-1", True), ("prod", True), ("ABC", False), ("globe", False)])
    def test_are_found_by_a_product(self, operator: Client, order: Order, searched: str, found: bool) -> None:
        OrderLine.objects.update(name="Product One")
        text = operator.get(reverse("admin:orders_order_changelist"), {"q": searched}).content.decode()
        assert (str(order.pk) in text) == found

    def test_take_the_same_number_of_queries_for_any_number(
        self, operator: Client, order: Order, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        placed(ABC_1=1)
        with django_assert_num_queries(3, connection=connections["orders"]):
            operator.get(reverse("admin:orders_order_changelist"))

    def test_are_counted_on_the_first_page_without_cancelled_and_earlier_ones(
        self, operator: Client, order: Order
    ) -> None:
        placed(ABC_1=1)
        with transaction.atomic(using="orders"):
            commands.cancel_order(order_id=placed(ABC_1=3).id)
        earlier = placed(ABC_1=4)
        Order.objects.filter(pk=earlier.pk).update(placed_at=earlier.placed_at - timedelta(days=1))
        page = operator.get(reverse("admin:index")).content.decode()
        assert re.search(r"Orders today</p>.*?>2<", page, re.DOTALL)
        assert "37.50 EUR" in page
