"""Cursor pagination."""

from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny

from pangaea.errors import Misuse
from pangaea.ops.models import Operator

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]


class OperatorSerializer(serializers.ModelSerializer[Operator]):
    class Meta:
        model = Operator
        fields = ("username",)


class ByName(ListAPIView[Operator]):
    permission_classes = (AllowAny,)
    serializer_class = OperatorSerializer
    queryset = Operator.objects.all()
    ordering: Any = ("username",)


class Latest(ByName):
    ordering = ("-date_joined", "id")


class ById(ByName):
    ordering = "id"


class Disordered(ByName):
    ordering = None


urlpatterns = [
    path("by-name", ByName.as_view()),
    path("latest", Latest.as_view()),
    path("by-id", ById.as_view()),
    path("disordered", Disordered.as_view()),
]


@pytest.fixture
def names() -> list[str]:
    names = [f"name {number:03}" for number in range(45)]
    Operator.objects.bulk_create([Operator(username=name) for name in names])
    return names


def page(url: str) -> dict[str, Any]:
    response = Client().get(url)
    assert response.status_code == 200, response.content
    return dict(response.json())


def listed(document: dict[str, Any]) -> list[str]:
    return [each["username"] for each in document["results"]]


def mistake(url: str) -> tuple[str, str]:
    response = Client().get(url)
    assert (response.status_code, response.json()["code"]) == (400, "validation_failed")
    (only,) = response.json()["errors"]
    return only["parameter"], only["code"]


def cursor(text: str) -> str:
    return quote(b64encode(text.encode()).decode())


class TestAList:
    def test_is_walked_page_by_page_in_both_directions(self, names: list[str]) -> None:
        seen, last = [], page("/by-name")
        assert last["previous"] is None
        while True:
            seen += listed(last)
            if last["next"] is None:
                break
            last = page(last["next"])
        assert seen == names
        assert listed(page(last["previous"])) == names[20:40]

    @pytest.mark.parametrize("url", ["/latest", "/by-id"])
    def test_may_be_ordered_by_time_or_number(self, names: list[str], url: str) -> None:
        first = page(url)
        second = page(first["next"])
        assert len({*listed(first), *listed(second)}) == 40
        assert set(listed(second)) < set(names)

    def test_links_to_paths_whatever_the_client_calls_the_host(self, names: list[str]) -> None:
        first = Client().get("/by-name?limit=20", HTTP_HOST="testserver:9999").json()
        second = Client().get(first["next"], HTTP_HOST="testserver:9999").json()

        assert first["next"].startswith("/by-name?cursor=")
        assert first["next"].endswith("&limit=20")
        assert second["previous"].startswith("/by-name?cursor=")
        assert listed(page(second["next"])) == names[40:]

    def test_without_results_is_one_empty_page(self) -> None:
        assert page("/by-name") == {"next": None, "previous": None, "results": []}

    def test_without_an_order_is_refused(self) -> None:
        with pytest.raises(Misuse, match="ordering"):
            Client().get("/disordered")


@pytest.mark.usefixtures("names")
class TestALimit:
    @pytest.mark.parametrize(("limit", "size"), [("1", 1), ("44", 44), ("100", 45), ("101", 45), ("999999999", 45)])
    def test_is_obeyed_up_to_the_largest(self, limit: str, size: int) -> None:
        assert len(listed(page(f"/by-name?limit={limit}"))) == size

    @pytest.mark.parametrize("limit", ["0", "-1", "", "ten", "1.5", "²", "٣", "1" * 5000, "0x10", " 1"])
    def test_that_is_no_number_is_a_mistake(self, limit: str) -> None:
        assert mistake(f"/by-name?limit={limit}") == ("limit", "invalid_limit")


@pytest.mark.usefixtures("names")
class TestACursor:
    @pytest.mark.parametrize(
        "text", ["garbage", "ü", "AAAA", "====", cursor("o=x"), cursor("o=-1"), cursor("r=x"), cursor("p=%00")]
    )
    def test_that_is_garbled_is_a_mistake(self, text: str) -> None:
        assert mistake(f"/by-name?cursor={text}") == ("cursor", "invalid_cursor")

    @pytest.mark.parametrize(
        "position",
        ["yesterday", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00%2B14:00", "%00", "9" * 5000],
    )
    def test_that_names_no_time_is_a_mistake(self, position: str) -> None:
        assert mistake(f"/latest?cursor={cursor(f'p={position}')}") == ("cursor", "invalid_cursor")

    def test_that_names_no_number_is_a_mistake(self) -> None:
        assert mistake(f"/by-id?cursor={cursor('p=one')}") == ("cursor", "invalid_cursor")
        assert mistake(f"/by-id?cursor={cursor('p=' + '9' * 5000)}") == ("cursor", "invalid_cursor")

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        position=st.text() | st.datetimes().map(str) | st.integers().map(str),
        url=st.sampled_from(["/by-name", "/latest", "/by-id"]),
    )
    def test_that_is_made_up_never_breaks_the_server(self, position: str, url: str) -> None:
        encoded = cursor(f"p={quote(position)}")
        assert Client().get(f"{url}?cursor={encoded}").status_code in {200, 400}
