"""The public catalogue: /api/v1/products."""

from typing import Any

from django.urls import path, re_path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from modules.orders import queries
from modules.orders.api import lists
from modules.orders.api.fields import ProductNameField, SkuField
from modules.orders.models import MAX_STOCK
from modules.orders.queries import ProductDetails
from pangaea.api.conditional_requests import conditional_read, tagged
from pangaea.api.fields import MoneySerializer, documented
from pangaea.api.pagination import CursorPage


class ProductSerializer(serializers.Serializer[ProductDetails]):
    sku = SkuField()
    name = ProductNameField()
    description = documented(serializers.CharField(max_length=2_000), examples=["One landmass, 300 million years ago."])
    price = MoneySerializer()
    in_stock = documented(
        serializers.IntegerField(
            min_value=0, max_value=MAX_STOCK, help_text="as of the answer; only an order reserves"
        ),
        examples=[42],
    )


SKU = OpenApiParameter(
    "sku",
    {"type": "string", "pattern": "^[A-Z0-9-]{1,32}$", "minLength": 1, "maxLength": 32, "examples": ["MAP-PANGAEA"]},
    OpenApiParameter.PATH,
)


class ProductsView(GenericAPIView[Any]):
    """The products for sale, by name."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    serializer_class = ProductSerializer
    pagination_class = CursorPage
    links = {"get": {"orders_read_product": {"sku": "$response.body#/results/0/sku"}}}
    ordering = lists.PRODUCT_ORDERINGS["name"]
    orderings = lists.PRODUCT_ORDERINGS
    filters = lists.PRODUCT_FILTERS

    @extend_schema(operation_id="orders_list_products", responses=ProductSerializer(many=True))
    def get(self, request: Request) -> Response:
        products = queries.list_products(page=self.paginate_queryset)
        return self.get_paginated_response(self.get_serializer(products, many=True).data)


class ProductView(GenericAPIView[Any]):
    """A product for sale."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    serializer_class = ProductSerializer
    problems = {"get": ("product_not_found",)}

    @extend_schema(operation_id="orders_read_product", parameters=[SKU])
    @conditional_read
    def get(self, request: Request, sku: str) -> Response:
        product = queries.read_product(sku=sku)
        return tagged(self.get_serializer(product).data, version=product.version)


urlpatterns = [
    path("", ProductsView.as_view(), name="orders-v1-products"),
    # Only text that can be a sku reaches the database, which does not accept every text.
    re_path(r"^/(?P<sku>[A-Z0-9-]{1,32})\Z", ProductView.as_view(), name="orders-v1-product"),
]
