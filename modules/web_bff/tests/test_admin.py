from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from modules.web_bff.models import Checkout
from modules.web_bff.tests import received
from pangaea.ids import uuid7

pytestmark = pytest.mark.django_db(databases="__all__")

TABLES = ["profile", "catalogueitem", "ordersummary", "orderline", "timelineentry", "checkout", "checkoutoutcome"]


class TestAdmin:
    @pytest.mark.parametrize("table", TABLES)
    def test_shows_the_read_models_and_offers_no_way_to_change_them(
        self, admin_client: Client, customer_id: UUID, table: str
    ) -> None:
        received.user_registered(customer_id)
        received.product_changed("TEA-1")
        received.order_placed(customer_id, checkout_id=str(uuid7()))
        Checkout.objects.create(customer_id=customer_id, asked_at=received.NOON)

        page = admin_client.get(f"/admin/web_bff/{table}/", {"q": str(customer_id)})

        assert page.status_code == 200
        assert admin_client.get(f"/admin/web_bff/{table}/add/").status_code == 403

    @pytest.mark.parametrize(
        ("table", "texts"),
        [
            ("catalogueitem", [" EUR"]),
            ("ordersummary", ["Ada L", " EUR", "2030-01-01 12:"]),
            ("orderline", [" EUR"]),
            ("checkout", ["Ada L", "2030-01-01 12:00:00 UTC"]),
        ],
    )
    def test_shows_names_money_and_exact_times(
        self, admin_client: Client, customer_id: UUID, table: str, texts: list[str]
    ) -> None:
        received.user_registered(customer_id)
        received.product_changed("TEA-1")
        order_id = received.order_placed(customer_id)
        Checkout.objects.create(customer_id=customer_id, asked_at=received.NOON)

        page = admin_client.get(f"/admin/web_bff/{table}/").content.decode()
        for text in texts:
            assert text in page
        if table == "orderline":
            assert reverse("admin:web_bff_ordersummary_change", args=[order_id]) in page

    def test_counts_todays_checkouts_on_the_first_page(self, admin_client: Client, customer_id: UUID) -> None:
        Checkout.objects.create(customer_id=customer_id, asked_at=timezone.now())
        page = admin_client.get(reverse("admin:index"))
        figures = {each.title: each.text for group in page.context["groups"] for each in group.figures}
        assert figures["Checkouts today"] == "1"
