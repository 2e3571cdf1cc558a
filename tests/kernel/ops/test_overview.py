"""The first page of the admin: what modules and operations contribute, and what an operator may see of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import DatabaseError
from django.http import HttpRequest
from django.test import Client

from pangaea import modules
from pangaea.health import concerns, stream_status
from pangaea.health.states import Colour
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.messages import Money
from pangaea.ops.admin import Figure
from pangaea.ops.models import Operator
from tests.kernel.labels import labels

pytestmark = pytest.mark.django_db(databases="__all__")

ALIAS = modules.labels()[0]
STREAM_KEY = {"subscription": f"{ALIAS}.x", "source": "users", "audience": "all", "partition": 0}


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(Operator.objects.create_superuser("chief"))
    return client


@pytest.fixture
def contributed(monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """A model of a module whose admin contributes figures."""
    model: type[Any] = next(each for each in apps.get_app_config(ALIAS).get_models() if admin.site.is_registered(each))

    def overview(_request: HttpRequest) -> Iterator[Figure]:
        yield Figure("Things today", 1234, url="/admin/")
        yield Figure("Worth", [Money(1250, "EUR"), Money(700, "JPY")])

    monkeypatch.setattr(admin.site.get_model_admin(model), "overview", overview)
    return model


class TestOverview:
    def test_shows_what_a_modules_admin_contributes(self, browser: Client, contributed: type[Any]) -> None:
        page = browser.get("/admin/").content.decode()
        for text in ("Things today", "1,234", "12.50 EUR + 700 JPY"):
            assert text in page

    def test_shows_it_to_operators_who_may_view_the_model(self, client: Client, contributed: type[Any]) -> None:
        operator = Operator.objects.create_user("watcher", is_staff=True)
        client.force_login(operator)
        assert "Things today" not in client.get("/admin/").content.decode()
        assert "Dead letters" not in client.get("/admin/").content.decode()
        permissions = Permission.objects.filter(content_type__app_label=ALIAS)
        operator.user_permissions.add(permissions.get(codename=f"view_{contributed._meta.model_name}"))
        assert "Things today" in client.get("/admin/").content.decode()

    def test_shows_the_rest_where_one_cannot_be_read(
        self, browser: Client, contributed: type[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_request: HttpRequest) -> Iterator[Figure]:
            raise DatabaseError("the disk is full")

        monkeypatch.setattr(admin.site.get_model_admin(contributed), "overview", fail)
        page = browser.get("/admin/").content.decode()
        assert "the disk is full" in page
        assert ("unreadable", Colour.RED) in labels(page)
        assert "Dead letters" in page

    def test_shows_dead_letters_in_the_colour_of_the_worst(self, browser: Client) -> None:
        Cursor.objects.using(ALIAS).create(**STREAM_KEY, position=9, head=9)
        letter = {"key": "k", "name": "users.x", "body": "{}"}
        DeadLetter.objects.using(ALIAS).create(**STREAM_KEY, **letter, position=2)
        assert ("behind", Colour.GREY) in labels(browser.get("/admin/").content.decode())
        DeadLetter.objects.using(ALIAS).create(**STREAM_KEY, **letter, position=1, state=DeadLetter.State.DEAD)
        page = browser.get("/admin/")
        assert ("dead", Colour.RED) in labels(page.content.decode())
        (operations,) = (group for group in page.context["groups"] if group.title == "Operations")
        assert {figure.title: figure.text for figure in operations.figures}["Dead letters"] == "2"

    def test_counts_what_the_check_names(self, browser: Client) -> None:
        Cursor.objects.using(ALIAS).create(**STREAM_KEY)
        groups = browser.get("/admin/").context["groups"]
        (waiting,) = (each for group in groups for each in group.figures if each.title == "Waits for a person")
        assert waiting.value == len(concerns.of(stream_status.read_all(modules.installed()))) == 1
        assert ("undeclared", Colour.RED) in labels(waiting.badge)


class TestMoney:
    @pytest.mark.parametrize(
        ("amount", "currency", "text"),
        [
            (1250, "EUR", "12.50 EUR"),
            (5, "EUR", "0.05 EUR"),
            (-5, "EUR", "-0.05 EUR"),
            (123456789, "USD", "1,234,567.89 USD"),
            (700, "JPY", "700 JPY"),
            (1250, "KWD", "1.250 KWD"),
        ],
    )
    def test_is_written_with_the_decimals_of_its_currency(self, amount: int, currency: str, text: str) -> None:
        assert str(Money(amount, currency)) == text
