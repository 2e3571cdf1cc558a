from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from modules.users.models import Account
from modules.users.tests.conftest import Customer
from pangaea import testing

pytestmark = pytest.mark.django_db(databases="__all__")

LIST = "/admin/users/account/"


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("operator", password="x"))
    return client


class TestAccounts:
    def test_are_listed(self, operator: Client, ada: Customer) -> None:
        page = operator.get(LIST, {"q": "ada@"}).content.decode()
        assert "ada@example.com" in page
        assert "Ada Lovelace" in page

    def test_are_counted_on_the_first_page(self, operator: Client, ada: Customer) -> None:
        page = operator.get("/admin/")
        figures = {each.title: each.text for group in page.context["groups"] for each in group.figures}
        assert figures["Registrations today"] == "1"

    @pytest.mark.parametrize(
        "words", ["zoe@BÜCHER.example", "zoe@bu\u0308cher.example", "Zoe\u0308", "Zoë", " zoe@xn--bcher"]
    )
    def test_are_found_in_any_spelling(
        self, operator: Client, ada: Customer, register: Callable[..., Customer], words: str
    ) -> None:
        register(email="zoe@bücher.example", full_name="Zoë Müller")
        page = operator.get(LIST, {"q": words}).content.decode()
        assert "zoe@xn--bcher-kva.example" in page
        assert "ada@example.com" not in page

    def test_show_no_hash(self, operator: Client, ada: Customer) -> None:
        page = operator.get(f"{LIST}{ada.id}/change/")
        assert page.status_code == 200
        assert "ada@example.com" in page.content.decode()
        assert Account.objects.get().password_hash not in page.content.decode()

    def test_are_never_edited(self, operator: Client, ada: Customer) -> None:
        assert operator.post(f"{LIST}{ada.id}/change/", {"full_name": "X"}).status_code == 403
        assert operator.post(f"{LIST}{ada.id}/delete/", {"post": "yes"}).status_code == 403
        assert operator.post(f"{LIST}add/", {"email": "x@example.com"}).status_code == 403
        assert Account.objects.get().full_name == "Ada Lovelace"

    def test_are_deactivated_by_the_command(
        self, operator: Client, ada: Customer, register: Callable[..., Customer]
    ) -> None:
        grace = register(email="grace@example.com")
        body = {"action": "deactivate", "_selected_action": [str(ada.id)]}
        page = operator.post(LIST, body, follow=True)
        assert "1 deactivated; 0 were already." in page.content.decode()
        assert testing.published("users")[-1].wire_name == "users.user_deactivated"
        assert Account.objects.get(id=ada.id).status == "deactivated"
        assert Account.objects.get(id=grace.id).status == "active"

    def test_get_another_plan_which_is_logged(self, operator: Client, ada: Customer) -> None:
        body = {"action": "give_plan_pro", "_selected_action": [str(ada.id)]}
        assert "1 changed to pro" in operator.post(LIST, body, follow=True).content.decode()
        assert "0 changed to pro" in operator.post(LIST, body, follow=True).content.decode()
        assert Account.objects.get().plan == "pro"
        assert [str(each.change_message) for each in LogEntry.objects.all()] == ["Plan: pro."]
        operator.post(LIST, {**body, "action": "give_plan_free"})
        assert Account.objects.get().plan == "free"
        assert [each.wire_name for each in testing.published("users")] == ["users.user_registered"]

    def test_need_the_permission(self, ada: Customer) -> None:
        client = Client()
        client.force_login(get_user_model().objects.create_user("trainee", password="x", is_staff=True))
        assert client.get(LIST).status_code == 403
        for action in ("deactivate", "give_plan_pro"):
            client.post(LIST, {"action": action, "_selected_action": [str(ada.id)]})
        assert (Account.objects.get().status, Account.objects.get().plan) == ("active", "free")

    def test_may_be_looked_at_without_the_right_to_deactivate(self, ada: Customer) -> None:
        auditor = get_user_model().objects.create_user("auditor", password="x", is_staff=True)
        auditor.user_permissions.add(Permission.objects.get(codename="view_account", content_type__app_label="users"))
        client = Client()
        client.force_login(auditor)
        assert "ada@example.com" in client.get(LIST).content.decode()
        for action in ("deactivate", "give_plan_pro"):
            client.post(LIST, {"action": action, "_selected_action": [str(ada.id)]})
        assert (Account.objects.get().status, Account.objects.get().plan) == ("active", "free")
