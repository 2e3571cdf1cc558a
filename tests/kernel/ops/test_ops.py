from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import IntegrityError, connection, connections
from django.http import HttpRequest
from django.test import Client, override_settings
from django.urls import path, reverse
from django.utils import timezone
from unfold.sites import UnfoldAdminSite

from pangaea import modules
from pangaea.api import documents
from pangaea.api.call_counts import ApiCalls
from pangaea.errors import Conflict
from pangaea.inbox.models import DeadLetter
from pangaea.ops.admin import ModuleAdmin, ReadOnlyAdmin, ReadOnlyInline
from pangaea.ops.models import Operator
from pangaea.outbox.models import Stream

ALIAS = "orders"
if not apps.is_installed(f"modules.{ALIAS}"):
    pytest.skip(f"shows the admin across databases on models of {ALIAS}", allow_module_level=True)
Order: Any = apps.get_model(ALIAS, "Order")
Customer: Any = apps.get_model(ALIAS, "Customer")
OrderLine: Any = apps.get_model(ALIAS, "OrderLine")

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.urls("tests.kernel.ops.test_ops")]

PASSWORD = "correct-horse-battery"
OF_ALL_MODULES = {ApiCalls, DeadLetter, Stream}
"""Their first pages show no rows and filter none; the rows are listed per module."""


class SampleAdmin(ModuleAdmin):
    """An admin as a module's author could write it: a form that obeys rules, and actions."""

    fields = ("customer_id", "name", "active")
    actions = ("rename", "break_at_commit")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.save()
        if obj.name == "refused":
            raise Conflict("refused", "This name is refused.")

    @admin.action(description="Rename")
    def rename(self, request: HttpRequest, queryset: Any) -> None:
        assert connections[ALIAS].in_atomic_block
        queryset.update(name="renamed")

    @admin.action(description="Break at commit")
    def break_at_commit(self, request: HttpRequest, queryset: Any) -> None:
        for customer in queryset:
            self.log_change(request, customer, "Broken.")
        OrderLine.objects.create(
            order_id=uuid4(), product_id="NONE", quantity=1, unit_price_amount=1, unit_price_currency="EUR"
        )


class LineInline(ReadOnlyInline):
    model = OrderLine
    fields = ("name", "quantity")


class OrderAdmin(ModuleAdmin):
    inlines = (LineInline,)


site = UnfoldAdminSite(name="sample")
site.register(Customer, SampleAdmin)
site.register(Order, OrderAdmin)
site.register(OrderLine, ReadOnlyAdmin)
urlpatterns = [
    *documents.patterns(public=False, admin_path="admin/"),
    path("admin/", admin.site.urls),
    path("sample/", site.urls),
]


def url(page: str, *arguments: object, model: Any = Customer, namespace: str = "sample") -> str:
    return reverse(f"{namespace}:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


@pytest.fixture
def operator() -> Operator:
    return Operator.objects.create_superuser("chief", "chief@example.com", PASSWORD)


@pytest.fixture
def browser(client: Client, operator: Operator) -> Client:
    client.force_login(operator)
    return client


@pytest.fixture
def customer() -> Any:
    return Customer.objects.create(customer_id=uuid4(), name="Ada")


def names() -> set[str]:
    return set(Customer.objects.values_list("name", flat=True))


class TestEveryRegisteredModel:
    @pytest.fixture(params=sorted(admin.site._registry, key=str), ids=str)
    def model(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    def test_is_listed(self, browser: Client, model: Any) -> None:
        assert browser.get(url("changelist", model=model, namespace="admin")).status_code == 200

    def test_can_be_searched(self, browser: Client, model: Any) -> None:
        answer = browser.get(url("changelist", model=model, namespace="admin"), {"q": "x"}, follow=True)

        assert answer.status_code == 200

    def test_is_filtered_by_nothing_but_its_filters(self, browser: Client, model: Any) -> None:
        """Otherwise the right to view a list would be the right to read every column, hidden ones too."""
        request = browser.get("/admin/").wsgi_request
        listed = admin.site.get_model_admin(model)
        filters = {each for each in listed.get_list_filter(request) if isinstance(each, str)} | {listed.date_hierarchy}
        for field in model._meta.get_fields():
            for lookup in ("", "__startswith", "__gt", "__exact", "__isnull", "__id__exact"):
                is_filter = field.name in filters and lookup != "__startswith"
                assert listed.lookup_allowed(f"{field.name}{lookup}", "x", request) == is_filter, field.name + lookup

    def test_of_which_one_may_only_look_at_gives_no_column_away(self, client: Client, model: Any) -> None:
        staff = Operator.objects.create_user("clerk", password=PASSWORD, is_staff=True)
        viewing = f"view_{model._meta.model_name}"
        staff.user_permissions.set(Permission.objects.filter(codename=viewing))
        client.force_login(staff)
        hidden = next(field for field in model._meta.concrete_fields if field.name not in {"status", "active", "state"})
        page = url("changelist", model=model, namespace="admin")
        assert client.get(page).status_code == 200
        answer = client.get(page, {f"{hidden.name}__startswith": "x"}, follow=True)
        assert answer.status_code == (200 if model in OF_ALL_MODULES else 400)

    @pytest.mark.parametrize("row", ["x", "\0"])
    def test_refuses_to_act_on_a_row_that_cannot_be(self, browser: Client, model: Any, row: str) -> None:
        if model in OF_ALL_MODULES:
            listed = DeadLetter if model is Stream else model
            page = f"/admin/pangaea/{listed._meta.model_name}/{ALIAS}/"
        else:
            page = url("changelist", model=model, namespace="admin")
        form = {"action": "delete_selected", "_selected_action": [row]}
        answer = browser.post(page, form)
        is_text = model._meta.pk.get_internal_type() in {"TextField", "CharField"}
        assert answer.status_code == 400 or (is_text and row == "x")

    @pytest.mark.parametrize("row", ["1", "x", "01a224cb-1622-72c5-85ac-bfeadeaa5aaf"])
    def test_has_no_page_on_the_site(self, browser: Client, model: Any, row: str) -> None:
        kind = ContentType.objects.get_for_model(model)
        with override_settings(ROOT_URLCONF="pangaea.urls"):
            assert browser.get(f"/admin/r/{kind.pk}/{row}/").status_code == 404

    def test_shows_its_form_to_those_who_may_add_one(self, browser: Client, model: Any) -> None:
        may = admin.site.get_model_admin(model).has_add_permission(browser.get("/admin/").wsgi_request)

        answer = browser.get(url("changelist", model=model, namespace="admin") + "add/")
        assert answer.status_code == (200 if may else 404 if model in OF_ALL_MODULES else 403)


class TestModuleAdmin:
    def test_adds_a_row_to_the_modules_database_and_its_history_to_default(self, browser: Client) -> None:
        answer = browser.post(url("add"), {"customer_id": str(uuid4()), "name": "Grace", "active": "on"})

        assert answer.status_code == 302
        assert names() == {"Grace"}
        assert str(LogEntry.objects.get()) == "Added “Grace”."

    def test_changes_a_row(self, browser: Client, customer: Any) -> None:
        assert browser.get(url("change", customer.pk)).status_code == 200
        form = {"customer_id": str(customer.pk), "name": "Countess", "active": "on"}
        answer = browser.post(url("change", customer.pk), form)

        assert answer.status_code == 302
        assert names() == {"Countess"}
        assert LogEntry.objects.get().get_change_message() == "Changed Name."

    def test_asks_before_it_deletes_a_row_and_then_does(self, browser: Client, customer: Any) -> None:
        assert "Ada" in browser.get(url("delete", customer.pk)).content.decode()
        browser.post(url("delete", customer.pk), {"post": "yes"})

        assert names() == set()
        assert str(LogEntry.objects.get()) == "Deleted “Ada.”"

    def test_asks_before_it_deletes_what_was_selected_and_then_does(self, browser: Client, customer: Any) -> None:
        selected = {"action": "delete_selected", "_selected_action": [str(customer.pk)]}

        assert "Ada" in browser.post(url("changelist"), selected).content.decode()
        browser.post(url("changelist"), {**selected, "post": "yes"})
        assert names() == set()
        assert str(LogEntry.objects.get()) == "Deleted “Ada.”"

    def test_runs_an_action_inside_a_transaction_on_the_modules_database(self, browser: Client, customer: Any) -> None:
        browser.post(url("changelist"), {"action": "rename", "_selected_action": [str(customer.pk)]})

        assert names() == {"renamed"}

    def test_shows_the_history_of_a_row(self, browser: Client, customer: Any) -> None:
        browser.post(url("change", customer.pk), {"customer_id": str(customer.pk), "name": "Countess"})

        assert "Changed Name" in browser.get(url("history", customer.pk)).content.decode()

    def test_shows_a_refusal_and_undoes_everything(self, browser: Client, customer: Any) -> None:
        form = {"customer_id": str(customer.pk), "name": "refused"}
        answer = browser.post(url("change", customer.pk), form, follow=True)

        assert "This name is refused." in answer.content.decode()
        assert names() == {"Ada"}
        assert not LogEntry.objects.exists()

    @pytest.mark.django_db(databases="__all__", transaction=True)
    def test_leaves_no_history_of_a_change_whose_commit_failed(self, browser: Client, customer: Any) -> None:
        with pytest.raises(IntegrityError):
            browser.post(url("changelist"), {"action": "break_at_commit", "_selected_action": [str(customer.pk)]})

        assert not OrderLine.objects.exists()
        assert not LogEntry.objects.exists()


class TestReadOnlyAdmin:
    @pytest.mark.parametrize("page", ["add", "delete"])
    def test_lets_nobody_write(self, browser: Client, page: str) -> None:
        arguments = () if page == "add" else (1,)

        assert browser.post(url(page, *arguments, model=OrderLine)).status_code in {302, 403}
        assert browser.get(url("changelist", model=OrderLine)).status_code == 200

    def test_says_so_to_the_admin(self, browser: Client) -> None:
        request = browser.get("/admin/").wsgi_request
        permissions = site.get_model_admin(OrderLine).get_model_perms(request)

        assert permissions == {"add": False, "change": False, "delete": False, "view": True}


class TestReadOnlyInline:
    def test_shows_the_parts_and_offers_no_field_for_them(self, browser: Client) -> None:
        price = {"total_amount": 1, "total_currency": "EUR", "placed_at": "2026-01-01T00:00:00Z"}
        order = Order.objects.create(customer_id=uuid4(), status="placed", **price)
        form = browser.get(url("change", order.pk, model=Order)).context["inline_admin_formsets"][0]

        assert not form.has_add_permission
        assert not form.has_change_permission


class TestOperators:
    def test_are_added_with_a_password_that_works(self, browser: Client) -> None:
        form = {"username": "second", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        added = browser.post(url("add", model=Operator, namespace="admin"), form)

        assert added.status_code == 302
        assert Operator.objects.get(username="second").check_password(PASSWORD)

    @pytest.mark.parametrize(
        ("model", "form"),
        [
            (Operator, {"username": "\u3164", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}),
            (Group, {"name": "keepers\u202e"}),
        ],
    )
    def test_have_names_that_can_be_seen(self, browser: Client, model: Any, form: dict[str, str]) -> None:
        answer = browser.post(url("add", model=model, namespace="admin"), form)

        assert "Remove U+" in answer.content.decode()
        assert not model.objects.filter(**dict([next(iter(form.items()))])).exists()

    def test_get_another_password(self, browser: Client, operator: Operator) -> None:
        form = {"password1": "another-" + PASSWORD, "password2": "another-" + PASSWORD, "usable_password": "true"}
        page = reverse("admin:auth_user_password_change", args=[operator.pk])

        assert browser.get(page).status_code == 200
        assert browser.post(page, form).status_code == 302
        operator.refresh_from_db()
        assert operator.check_password("another-" + PASSWORD)

    def test_sign_in_only_as_staff(self, client: Client) -> None:
        Operator.objects.create_user("visitor", password=PASSWORD)
        answer = client.post(reverse("admin:login"), {"username": "visitor", "password": PASSWORD})

        assert "_auth_user_id" not in client.session
        assert answer.status_code == 200

    @pytest.mark.parametrize("sent", ["caf\u00e9 tectonic", "cafe\u0301\u00a0tectonic"])
    @pytest.mark.parametrize("chosen", ["caf\u00e9 tectonic", "cafe\u0301\u00a0tectonic"])
    def test_sign_in_with_their_password_in_any_spelling(self, client: Client, chosen: str, sent: str) -> None:
        Operator.objects.create_user("clerk", password=chosen, is_staff=True)
        client.post(reverse("admin:login"), {"username": "clerk", "password": sent})

        assert "_auth_user_id" in client.session

    def test_sign_in_with_a_password_that_an_earlier_version_hashed(self, client: Client) -> None:
        former = MD5PasswordHasher().encode("cafe\u0301\u200b", "salt")
        Operator.objects.create(username="clerk", password=former, is_staff=True)
        client.post(reverse("admin:login"), {"username": "clerk", "password": "cafe\u0301\u200b"})

        assert "_auth_user_id" in client.session

    def test_get_no_password_with_a_character_that_cannot_be_seen(self, browser: Client) -> None:
        hidden = f"{PASSWORD}\u200b"
        form = {"username": "second", "password1": hidden, "password2": hidden, "usable_password": "true"}
        answer = browser.post(url("add", model=Operator, namespace="admin"), form)

        assert "U+200B" in answer.content.decode()
        assert not Operator.objects.filter(username="second").exists()

    def test_see_in_the_sidebar_what_their_group_may_see(self, client: Client) -> None:
        group = Group.objects.create(name="Stock keepers")
        group.permissions.add(Permission.objects.get(codename="view_product", content_type__app_label=ALIAS))
        keeper = Operator.objects.create_user("keeper", password=PASSWORD, is_staff=True)
        keeper.groups.add(group)
        client.force_login(keeper)
        navigation = client.get("/admin/").context["sidebar_navigation"]

        titles = {item["title"] for section in navigation for item in section["items"]}
        assert titles == {"Overview", "API documents", "Products"}
        assert client.get(url("changelist", model=Stream, namespace="admin")).status_code == 403


class TestALogIn:
    def test_lasts_from_its_last_request_on_and_ends_when_it_was_idle(self, browser: Client) -> None:
        assert browser.get("/admin/").status_code == 200
        Session.objects.update(expire_date=timezone.now() + timedelta(minutes=1))
        assert browser.get("/admin/").status_code == 200
        left = Session.objects.get().expire_date - timezone.now()
        assert timedelta(minutes=29) < left <= timedelta(minutes=30)
        Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
        assert browser.get("/admin/").status_code == 302

    def test_is_no_concern_of_the_api(self, client: Client) -> None:
        with override_settings(ROOT_URLCONF="pangaea.urls"):
            assert client.get("/api/v1/products").status_code == 200
        assert not Session.objects.exists()


class TestNavigation:
    def test_has_a_group_for_every_module_with_an_admin_and_one_for_operations(self, browser: Client) -> None:
        navigation = browser.get("/admin/").context["sidebar_navigation"]

        registered = {model._meta.app_label for model in admin.site._registry}
        visible = [str(module.verbose_name) for module in modules.installed() if module.label in registered]
        assert [section.get("title") for section in navigation] == [None, *visible, "Operations"]
        assert [item["title"] for item in navigation[-1]["items"]] == [
            *("API calls", "Dead letters", "Streams", "Operators", "Groups")
        ]


class TestOperatorTable:
    def test_lives_in_the_default_database_alone(self) -> None:
        table = Operator._meta.db_table

        assert table in connection.introspection.table_names()
        assert all(table not in connections[label].introspection.table_names() for label in modules.labels())
