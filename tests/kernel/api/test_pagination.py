"""Lists: pages by a cursor, filters and orderings."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.test import Client, override_settings
from django.urls import path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny

from pangaea.api.filters import Filter, FlagField, MomentField, NumberField
from pangaea.api.pagination import StrictCursorPage
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
    ordering = ("-date_joined", "-id")


class ById(ByName):
    ordering = "id"


class ByFamily(ByName):
    """Many of one name, with filters and orderings."""

    ordering = ("last_name", "username")
    orderings: ClassVar[Any] = {"name": ("last_name", "username"), "-name": ("-last_name", "-username")}
    filters: ClassVar[Any] = {
        "first_name": Filter("first_name", serializers.CharField(), "Only this first name."),
        "staff": Filter("is_staff", FlagField(), "Only staff, or only others."),
        "id_min": Filter("id__gte", NumberField(min_value=0), "Only ids from this on."),
        "since": Filter("date_joined__gte", MomentField(), "Only who joined since."),
    }


class Strict(ByFamily):
    pagination_class = StrictCursorPage


class Disordered(ByName):
    ordering = None


class Ambiguous(ByName):
    ordering = ("last_name",)


class Mixed(ByName):
    ordering = ("-last_name", "username")


class WithNulls(ByName):
    ordering = ("last_login", "username")


class Elsewhere(ByName):
    ordering = ("groups__name", "username")


urlpatterns = [
    path("by-name", ByName.as_view()),
    path("latest", Latest.as_view()),
    path("by-id", ById.as_view()),
    path("by-family", ByFamily.as_view()),
    path("strict", Strict.as_view()),
    path("disordered", Disordered.as_view()),
    path("ambiguous", Ambiguous.as_view()),
    path("mixed", Mixed.as_view()),
    path("with-nulls", WithNulls.as_view()),
    path("elsewhere", Elsewhere.as_view()),
]
JOINED = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def names() -> list[str]:
    names = [f"name {number:03}" for number in range(45)]
    Operator.objects.bulk_create([Operator(username=name) for name in names])
    return names


@pytest.fixture
def family() -> list[str]:
    """Operators of one last name who joined at one moment; every third is staff."""
    names = [f"name {number:03}" for number in range(45)]
    Operator.objects.bulk_create(
        [
            Operator(
                username=name,
                last_name="Same",
                first_name="even"[number % 2 :],
                is_staff=not number % 3,
                date_joined=JOINED,
            )
            for number, name in enumerate(names)
        ]
    )
    return names


def page(url: str) -> dict[str, Any]:
    response = Client().get(url)
    assert response.status_code == 200, response.content
    return dict(response.json())


def listed(document: dict[str, Any]) -> list[str]:
    return [each["username"] for each in document["results"]]


def walked(url: str | None, *, by: str = "next", most: int = 100) -> list[list[str]]:
    """The pages from this one on."""
    pages: list[list[str]] = []
    while url is not None:
        assert len(pages) < most, "the walk does not end"
        document = page(url)
        pages.append(listed(document))
        url = document[by]
    return pages


def joined(pages: list[list[str]]) -> list[str]:
    return [name for each in pages for name in each]


def mistake(url: str) -> tuple[str, str]:
    response = Client().get(url)
    assert (response.status_code, response.json()["code"]) == (400, "validation_failed")
    (only,) = response.json()["errors"]
    return only["parameter"], only["code"]


def cursor_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["cursor"][0]


class TestAList:
    def test_is_walked_page_by_page_in_both_directions(self, names: list[str]) -> None:
        forward = walked("/by-name?limit=7")
        assert joined(forward) == names
        last = page("/by-name?limit=7")
        assert last["previous"] is None
        while last["next"]:
            last = page(last["next"])
        backward = walked(last["previous"], by="previous")
        assert joined(backward[::-1]) == names[: 45 - len(forward[-1])]
        assert [len(each) for each in backward] == [7] * 6

    @pytest.mark.parametrize("url", ["/latest?limit=20", "/by-id?limit=20", "/by-family?limit=20"])
    def test_of_equal_values_shows_each_row_once_and_ends(self, family: list[str], url: str) -> None:
        seen = joined(walked(url))
        assert sorted(seen) == family
        assert len(seen) == len(family)

    def test_links_to_paths_whatever_the_client_calls_the_host(self, names: list[str]) -> None:
        first = Client().get("/by-name?limit=20", HTTP_HOST="testserver:9999").json()
        second = Client().get(first["next"], HTTP_HOST="testserver:9999").json()

        assert first["next"].startswith("/by-name?cursor=")
        assert first["next"].endswith("&limit=20")
        assert second["previous"].startswith("/by-name?cursor=")
        assert listed(page(second["next"])) == names[40:]

    def test_has_link_headers_to_the_same_pages(self, names: list[str]) -> None:
        del names
        first = Client().get("/by-name?limit=20&x=%3E")
        assert first.headers["Link"] == f'</by-name?limit=20&x=%3E>; rel="first", <{first.json()["next"]}>; rel="next"'
        second = Client().get(first.json()["next"])
        links = {link.rpartition("; ")[2]: link.partition(">")[0][1:] for link in second.headers["Link"].split(", ")}
        assert links['rel="prev"'] == second.json()["previous"]
        assert links['rel="next"'] == second.json()["next"]
        assert links['rel="first"'].startswith("/by-name?")
        assert "cursor" not in links['rel="first"']

    def test_without_results_is_one_empty_page(self) -> None:
        assert page("/by-name") == {"next": None, "previous": None, "results": []}

    def test_takes_one_query(self, names: list[str], django_assert_num_queries: DjangoAssertNumQueries) -> None:
        del names
        first = page("/by-name?limit=20")
        for url in ("/by-name?limit=20", first["next"], page(first["next"])["previous"]):
            with django_assert_num_queries(1):
                page(url)

    @pytest.mark.parametrize(
        ("url", "fault"),
        [
            ("/disordered", "ordering"),
            ("/ambiguous", "'last_name' is not unique"),
            ("/mixed", "some columns ascend"),
            ("/with-nulls", "'last_login' may be null"),
            ("/elsewhere", "'groups__name' is no column"),
        ],
    )
    def test_without_a_unique_order_is_refused(self, url: str, fault: str) -> None:
        with pytest.raises(Misuse, match=fault):
            Client().get(url)


class TestRowsThatChangeMeanwhile:
    def test_shift_no_others_when_they_are_inserted_before(self, family: list[str]) -> None:
        first = page("/by-family?limit=20")
        Operator.objects.create(username="a first one", last_name="Same")
        Operator.objects.create(username="name 0195", last_name="Same")
        assert joined([listed(first), *walked(first["next"])]) == [*family[:20], "name 0195", *family[20:]]

    def test_may_be_those_of_the_cursor(self, family: list[str]) -> None:
        first = page("/by-family?limit=20")
        Operator.objects.filter(username__in=[family[19], family[20]]).delete()
        assert joined(walked(first["next"])) == family[21:]

    def test_leave_a_way_back_when_the_page_is_empty(self, family: list[str]) -> None:
        first = page("/by-family?limit=20")
        Operator.objects.filter(username__gt=family[19]).delete()
        empty = page(first["next"])
        assert (listed(empty), empty["next"]) == ([], None)
        assert listed(page(empty["previous"])) == family[:20]

    def test_leave_a_way_forward_when_the_page_before_is_empty(self, family: list[str]) -> None:
        second = page(page("/by-family?limit=20")["next"])
        Operator.objects.filter(username__lt=family[20]).delete()
        empty = page(second["previous"])
        assert (listed(empty), empty["previous"]) == ([], None)
        assert listed(page(empty["next"])) == family[20:40]


@pytest.mark.usefixtures("names")
class TestALimit:
    @pytest.mark.parametrize(("limit", "size"), [("1", 1), ("44", 44), ("100", 45), ("101", 45), ("999999999", 45)])
    def test_is_obeyed_up_to_the_largest(self, limit: str, size: int) -> None:
        assert len(listed(page(f"/by-name?limit={limit}"))) == size

    @pytest.mark.parametrize("limit", ["0", "-1", "", "ten", "1.5", "²", "٣", "1" * 5000, "0x10", " 1", "1000000000"])
    def test_that_is_no_number_is_a_mistake(self, limit: str) -> None:
        assert mistake(f"/by-name?limit={limit}") == ("limit", "invalid_limit")

    def test_may_change_between_pages(self) -> None:
        following = page("/by-name?limit=20")["next"].replace("limit=20", "limit=25")
        assert len(listed(page(following))) == 25


class TestACursor:
    @pytest.mark.parametrize("text", ["garbage", "ü", "AAAA", "====", "cD1uYW1lKzAxOQ%3D%3D", "", ".", "a.b", "%F0%9F"])
    def test_that_is_garbled_or_of_another_time_is_a_mistake(self, text: str) -> None:
        assert mistake(f"/by-name?cursor={text}") == ("cursor", "invalid_cursor")

    def test_that_was_changed_is_a_mistake(self, names: list[str]) -> None:
        del names
        text = cursor_of(page("/by-name?limit=20")["next"])
        for changed in (text[1:], text[:-1], text.replace(".", "A."), f"{text}A", text.swapcase()):
            assert mistake(f"/by-name?cursor={quote(changed)}") == ("cursor", "invalid_cursor")

    def test_of_another_list_order_or_filter_is_a_mistake(self, family: list[str]) -> None:
        del family
        text = cursor_of(page("/by-family?limit=2&staff=true")["next"])
        for url in ("/by-family", "/by-family?staff=false", "/strict?staff=true", "/by-family?staff=true&order=-name"):
            joint = "&" if "?" in url else "?"
            assert mistake(f"{url}{joint}cursor={text}") == ("cursor", "invalid_cursor")
        assert listed(page(f"/by-family?cursor={text}&order=name&staff=true&limit=1")) == ["name 006"]

    def test_outlives_a_rotation_of_the_secret_key(self, names: list[str]) -> None:
        with override_settings(SECRET_KEY="before" * 10):
            following = page("/by-name?limit=20")["next"]
        with override_settings(SECRET_KEY="after" * 10, SECRET_KEY_FALLBACKS=["before" * 10]):
            assert listed(page(following)) == names[20:40]
        with override_settings(SECRET_KEY="after" * 10, SECRET_KEY_FALLBACKS=[]):
            assert mistake(following) == ("cursor", "invalid_cursor")

    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(text=st.text(), url=st.sampled_from(["/by-name", "/latest", "/by-id"]))
    def test_that_is_made_up_never_breaks_the_server(self, text: str, url: str) -> None:
        assert Client().get(f"{url}?cursor={quote(text)}").status_code == 400


class TestAWalk:
    @settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        last_names=st.lists(st.text("aAäzZ ,'%0", max_size=3), max_size=9),
        limit=st.integers(1, 5),
        order=st.sampled_from(["name", "-name"]),
    )
    def test_is_complete_in_both_directions_whatever_the_values(
        self, last_names: list[str], limit: int, order: str
    ) -> None:
        Operator.objects.all().delete()
        Operator.objects.bulk_create(
            [Operator(username=f"{number}", last_name=name) for number, name in enumerate(last_names)]
        )
        sign = "-" if order == "-name" else ""
        every = list(
            Operator.objects.order_by(f"{sign}last_name", f"{sign}username").values_list("username", flat=True)
        )
        forward = walked(f"/by-family?limit={limit}&order={order}")
        assert joined(forward) == every
        if len(forward) > 1:
            last = page(f"/by-family?limit={limit}&order={order}")
            while last["next"]:
                last = page(last["next"])
            assert joined([listed(last), *walked(last["previous"], by="previous")][::-1]) == every


class TestAnOrder:
    def test_is_one_of_those_declared(self, family: list[str]) -> None:
        assert joined(walked("/by-family?order=-name")) == family[::-1]
        assert joined(walked("/by-family?order=name")) == family
        assert mistake("/by-family?order=id") == ("order", "invalid_choice")

    def test_is_ignored_where_none_is_declared(self, names: list[str]) -> None:
        assert joined(walked("/by-name?order=nonsense")) == names


class TestAFilter:
    def test_narrows_every_page(self, family: list[str]) -> None:
        assert joined(walked("/by-family?limit=4&staff=true")) == family[::3]
        assert joined(walked("/by-family?limit=4&staff=true&first_name=even")) == family[::6]

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("staff=True", "invalid"),
            ("staff=1", "invalid"),
            ("staff=", "invalid"),
            ("id_min=-1", "min_value"),
            ("id_min=1.0", "invalid"),
            ("id_min=%D9%A3", "invalid"),
            ("id_min=" + "9" * 5000, "invalid"),
            ("since=2026-01-01", "invalid"),
            ("since=2026-01-01T00:00:00", "invalid"),
            ("since=2026-01-01T00:00:00+01:00", "invalid"),
            ("since=2026-13-01T00:00:00Z", "invalid"),
            ("since=0001-01-01T00:00:00%2B14:00", "overflow"),
            ("staff=true&staff=false", "repeated_parameter"),
        ],
    )
    def test_that_is_malformed_is_a_mistake(self, query: str, code: str) -> None:
        assert mistake(f"/by-family?{query}") == (query.partition("=")[0], code)

    def test_names_every_mistake(self) -> None:
        response = Client().get("/by-family?staff=x&id_min=y")
        assert {each["parameter"] for each in response.json()["errors"]} == {"staff", "id_min"}

    def test_by_time_takes_any_offset(self, family: list[str]) -> None:
        assert listed(page("/by-family?limit=1&since=2026-01-01T01:00:00%2B01:00")) == family[:1]
        Operator.objects.update(date_joined=JOINED - timedelta(microseconds=1))
        assert listed(page("/by-family?limit=1&since=2026-01-01T01:00:00%2B01:00")) == []


class TestAStrictList:
    def test_refuses_what_it_does_not_know(self, family: list[str]) -> None:
        assert mistake("/strict?stuff=true") == ("stuff", "unknown_parameter")
        assert mistake("/strict?limit=101") == ("limit", "invalid_limit")
        assert mistake("/strict?limit=1&limit=2") == ("limit", "repeated_parameter")
        assert joined(walked("/strict?limit=20&order=name")) == family

    def test_of_the_first_version_ignores_it(self, family: list[str]) -> None:
        assert joined(walked("/by-family?stuff=true&limit=2&limit=100")) == family
