from uuid import UUID

import pytest
from django.test import Client

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
