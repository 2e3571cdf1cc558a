import pytest
from django.db import transaction

from modules.orders import commands, demo
from modules.orders.models import Product
from modules.orders.tests.shop import everything, published, stock_of

pytestmark = pytest.mark.django_db(databases=["orders"])


class TestSeed:
    def test_fills_an_empty_catalogue_and_publishes_it(self) -> None:
        assert demo.seed(credentials=True) == ["catalogue: 8 demo products, 8 of them added"]
        assert Product.on_sale().count() == 8
        assert len(published("orders.product_changed")) == 8

    def test_changes_nothing_the_second_time(self) -> None:
        demo.seed(credentials=True)
        with transaction.atomic(using="orders"):
            commands.adjust_stock(sku="GEODE-LAST", by=-1)
        before = everything()
        assert demo.seed(credentials=False) == ["catalogue: 8 demo products, 0 of them added"]
        assert everything() == before
        assert stock_of("GEODE-LAST") == 0
