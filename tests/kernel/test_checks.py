"""System checks report a wrong declaration before a process starts."""

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from django.core.checks import CheckMessage
from django.core.management import call_command
from pytest_django import Settings

from pangaea.api.openapi import document
from pangaea.checks import check_cache, check_modules
from tests.kernel.sample_modules import Shelf

LANGUAGE = """
    from typing import ClassVar
    from pangaea.messages import Command, Event

    class Sold(Event, frozen=True, kw_only=True):
        wire_name: ClassVar[str] = "shop.sold"

    class Sell(Command, frozen=True, kw_only=True):
        wire_name: ClassVar[str] = "shop.sell"
"""
CASHIER = """
    from pangaea.inbox.subscriptions import Reaction
    from shop.messages import Sell

    cashier = Reaction("shop.cashier", begins="start")

    @cashier.on(Sell)
    def sell(message): ...
"""
ACCEPTING = """
    subscriptions = ("shop.handlers.cashier",)
    accepts_commands_from = ("store",)
"""
FOREIGN = """
    from typing import ClassVar
    from pangaea.messages import Command, Event

    class Sold(Event, frozen=True, kw_only=True):
        wire_name: ClassVar[str] = "shop.sold"

    class Sell(Command, frozen=True, kw_only=True):
        wire_name: ClassVar[str] = "shop.sell"
"""
LEDGER = """
    from pangaea.inbox.subscriptions import Projection
    from store import acl

    ledger = Projection("store.ledger")

    @ledger.on(acl.Sold)
    def note(message): ...
"""
SCOPED = "permission_classes = [HasScope('bill:read')]\n            "
SUBSCRIBING = 'subscriptions = ("store.handlers.ledger",)'


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def shop(shelf: Shelf, *, config: str = ACCEPTING, messages: str = LANGUAGE, handlers: str = CASHIER) -> None:
    """Add a module that publishes `sold` and handles `sell`."""
    shelf.add("shop", config, messages=messages, handlers=handlers)


def store(shelf: Shelf, *, config: str = SUBSCRIBING, acl: str = FOREIGN, handlers: str = LEDGER) -> None:
    """Add a module that subscribes to `sold` and sends `sell`."""
    shelf.add("store", config, acl=acl, handlers=handlers)


def mistakes(shelf: Shelf) -> list[CheckMessage]:
    with shelf.installed():
        return check_modules(None)


def only_mistake(shelf: Shelf, expected: str) -> str:
    """The text and the hint of the only mistake."""
    (found,) = mistakes(shelf)
    assert found.id == expected
    return f"{found.msg} {found.hint or ''}"


class TestTheDeclarations:
    def test_of_this_project_have_no_mistakes(self) -> None:
        assert check_modules(None) == []
        call_command("check", "--tag=pangaea")

    def test_that_match_have_no_mistakes(self, shelf: Shelf) -> None:
        shop(shelf)
        store(shelf)
        assert mistakes(shelf) == []

    def test_of_a_subscriber_without_its_source_have_no_mistakes(self, shelf: Shelf) -> None:
        store(shelf)
        assert mistakes(shelf) == []


class TestAName:
    @pytest.mark.parametrize("name", ["shop.Sold It", "sold", "shop.sold.twice", ""])
    def test_that_is_no_wire_name_is_a_mistake(self, shelf: Shelf, name: str) -> None:
        shop(shelf, messages=LANGUAGE.replace("shop.sold", name))
        found = mistakes(shelf)
        assert "pangaea.E001" in {each.id for each in found}
        assert f"{name!r} is no wire name" in found[0].msg

    def test_that_was_forgotten_is_a_mistake(self, shelf: Shelf) -> None:
        shop(shelf, messages=LANGUAGE.replace('wire_name: ClassVar[str] = "shop.sold"', "amount: int"))
        assert "'Sold' is no wire name" in mistakes(shelf)[0].msg

    def test_of_another_module_is_a_mistake(self, shelf: Shelf) -> None:
        shop(shelf, messages=LANGUAGE.replace("shop.sold", "store.sold"))
        assert "Name it shop.<what_happened>" in only_mistake(shelf, "pangaea.E002")


class TestALabel:
    @pytest.mark.parametrize("label", ["default", "all"])
    def test_that_has_another_meaning_is_a_mistake(self, shelf: Shelf, label: str) -> None:
        shelf.add(label)
        assert f"A module is called {label!r}" in only_mistake(shelf, "pangaea.E019")


class TestARoute:
    IMPORTS = "from pangaea.modules import Route"
    API = "urlpatterns = []"

    def add(self, shelf: Shelf, label: str, path: str) -> None:
        declared = f'routes = (Route("{path}", urlconf="{label}.api"),)'
        shelf.add(label, f"{self.IMPORTS}\n{declared}", api=self.API)

    def test_of_two_modules_is_a_mistake(self, shelf: Shelf) -> None:
        self.add(shelf, "billing", "/api/v1/bills")
        self.add(shelf, "invoicing", "/api/v1/bills")
        assert "'billing' and 'invoicing' both declare the route '/api/v1/bills'" in only_mistake(shelf, "pangaea.E021")

    def test_inside_another_modules_is_right(self, shelf: Shelf) -> None:
        self.add(shelf, "billing", "/api/v1/bills")
        self.add(shelf, "paying", "/api/v1/bills/payments")
        assert mistakes(shelf) == []

    @pytest.mark.parametrize("path", ["/api/v1/bills/", "api/v1/bills", "", "/", "/api//bills", "/api/v1/my bills"])
    def test_of_another_form_is_a_mistake(self, shelf: Shelf, path: str) -> None:
        self.add(shelf, "billing", path)
        assert f"billing declares the route {path!r}" in only_mistake(shelf, "pangaea.E020")


class TestAQuota:
    IMPORTS = """
        from datetime import timedelta
        from pangaea.modules import Fails, Quota, Route
    """
    API = "urlpatterns = []"

    def billing(self, shelf: Shelf, *quotas: str) -> None:
        routes = "".join(
            f'Route("/api/v{n}/bills", urlconf="billing.api", quotas=({quota},)), ' for n, quota in enumerate(quotas, 1)
        )
        shelf.add("billing", f"{dedent(self.IMPORTS).strip()}\nroutes = ({routes})", api=self.API)

    @staticmethod
    def quota(name: str, requests: int = 1) -> str:
        return f'Quota("{name}", {requests}, timedelta(days=1), Fails.OPEN)'

    def test_of_two_versions_is_right(self, shelf: Shelf) -> None:
        self.billing(shelf, self.quota("billing:per_day"), self.quota("billing:per_day"))
        assert mistakes(shelf) == []

    def test_that_shares_a_name_with_another_is_a_mistake(self, shelf: Shelf) -> None:
        self.billing(shelf, self.quota("billing:per_day"), self.quota("billing:per_day", 2))
        assert "two quotas of the name 'billing:per_day'" in only_mistake(shelf, "pangaea.E031")

    def test_that_is_named_after_another_module_is_a_mistake(self, shelf: Shelf) -> None:
        self.billing(shelf, self.quota("orders:per_day"))
        assert "Name it billing:<what_is_counted>" in only_mistake(shelf, "pangaea.E031")

    def test_that_each_process_counts_alone_is_named_in_a_deployment(self, settings: Settings) -> None:
        (found,) = check_cache(None)
        assert found.id == "pangaea.W032"
        assert "CACHE_URL is not set" in found.msg
        settings.PANGAEA = replace(settings.PANGAEA, cache_url="rediss://cache.example/0")
        assert check_cache(None) == []


class TestAScope:
    READABLE = """
        routes = (Route("/api/v1/bills", urlconf="billing.api"),)
        scopes = (Scope("billing:read", "Read bills.", roles=("customer",)),)
    """
    API = """
        from django.urls import path
        from rest_framework.views import APIView
        from pangaea.identity.permissions import HasScope

        class BillsView(APIView):
            permission_classes = [HasScope("billing:read", changing="billing:write")]

        urlpatterns = [path("", BillsView.as_view())]
    """
    IMPORTS = "from pangaea.modules import Route, Scope"

    def billing(self, shelf: Shelf, config: str, api: str = API) -> None:
        shelf.add("billing", f"{self.IMPORTS}\n{dedent(config).strip()}", api=api)

    def test_that_is_declared_and_required_is_right(self, shelf: Shelf) -> None:
        self.billing(shelf, self.READABLE, self.API.replace(', changing="billing:write"', ""))
        assert mistakes(shelf) == []

    def test_that_a_view_requires_and_the_module_does_not_declare(self, shelf: Shelf) -> None:
        self.billing(shelf, self.READABLE)
        found = only_mistake(shelf, "pangaea.E018")
        assert "billing.api.BillsView requires the scope 'billing:write', which billing does not declare." in found
        assert "There are: billing:read." in found

    def test_that_no_role_has(self, shelf: Shelf) -> None:
        self.billing(shelf, 'scopes = (Scope("billing:read", "Read bills.", roles=()),)')
        assert "No role has the scope 'billing:read'" in only_mistake(shelf, "pangaea.E017")

    def test_of_a_role_that_does_not_exist(self, shelf: Shelf) -> None:
        self.billing(shelf, 'scopes = (Scope("billing:read", "Read bills.", roles=("custommer",)),)')
        found = only_mistake(shelf, "pangaea.E017")
        assert "names roles that do not exist: custommer. There are: customer." in found

    @pytest.mark.parametrize("name", ["orders:read", "read", "billing:", "billing:Read it", "billing:read:all"])
    def test_that_is_not_named_after_its_module(self, shelf: Shelf, name: str) -> None:
        self.billing(shelf, f'scopes = (Scope("{name}", "Read bills.", roles=("customer",)),)')
        assert "Name it billing:<what_it_allows>" in only_mistake(shelf, "pangaea.E016")

    def test_that_is_declared_twice(self, shelf: Shelf) -> None:
        self.billing(shelf, 'scopes = (Scope("billing:read", "Read bills.", roles=("customer",)),) * 2')
        assert "declares the scope 'billing:read' twice" in only_mistake(shelf, "pangaea.E016")


class TestAView:
    API = """
        from django.urls import path
        from rest_framework.permissions import AllowAny
        from rest_framework.views import APIView
        from pangaea.api.idempotency import idempotent, not_idempotent
        from pangaea.identity.permissions import HasScope

        class View(APIView):
            {permissions}

        urlpatterns = [path("", View.as_view(), name="{url}")]
    """
    CONFIG = """
        routes = (Route("/api/v1/{label}s", urlconf="{label}.api", public={public}),)
        scopes = (Scope("{label}:read", "Read.", roles=("customer",)),)
    """

    def add(
        self,
        shelf: Shelf,
        permissions: str,
        *,
        public: bool = False,
        label: str = "bill",
        url: str = "",
        name: str = "View",
    ) -> None:
        config = dedent(self.CONFIG.format(label=label, public=public)).strip()
        api = self.API.format(permissions=permissions, url=url or label)
        shelf.add(label, f"from pangaea.modules import Route, Scope\n{config}", api=api)

    @pytest.mark.parametrize("public", [True, False])
    def test_without_a_scope_is_a_mistake(self, shelf: Shelf, public: bool) -> None:
        self.add(shelf, "pass", public=public)
        found = only_mistake(shelf, "pangaea.E024")
        assert "bill.api.View requires no scope, so any token may call it." in found
        assert "with a scope of bill: bill:read" in found

    def test_that_is_open_below_a_route_that_is_not_is_a_mistake(self, shelf: Shelf) -> None:
        self.add(shelf, "permission_classes = [AllowAny]")
        assert "its route '/api/v1/bills' is not" in only_mistake(shelf, "pangaea.E025")

    @pytest.mark.parametrize(
        ("permissions", "public"),
        [("permission_classes = [HasScope('bill:read')]", False), ("permission_classes = [AllowAny]", True)],
    )
    def test_that_is_protected_or_open_as_its_route_is_right(
        self, shelf: Shelf, permissions: str, public: bool
    ) -> None:
        self.add(shelf, permissions, public=public)
        assert mistakes(shelf) == []

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_whose_effect_a_repeat_would_double_is_a_mistake(self, shelf: Shelf, method: str) -> None:
        self.add(shelf, SCOPED + f"def {method}(self, request): ...")
        found = only_mistake(shelf, "pangaea.E028")
        assert f"bill.api.View.{method} changes something and takes no Idempotency-Key" in found
        assert '@idempotent(using="bill")' in found

    @pytest.mark.parametrize(
        ("decorator", "permissions", "public"),
        [
            ('idempotent(using="bill")', "HasScope('bill:read')", False),
            ('idempotent(using="bill", required=True, resource="bill")', "HasScope('bill:read')", False),
            ('not_idempotent(because="It holds a password.")', "HasScope('bill:read')", False),
            ("staticmethod", "AllowAny", True),
        ],
    )
    def test_that_takes_a_key_or_declares_why_not_is_right(
        self, shelf: Shelf, decorator: str, permissions: str, public: bool
    ) -> None:
        view = (
            f"permission_classes = [{permissions}]\n            @{decorator}\n            def post(self, request): ..."
        )
        self.add(shelf, view, public=public)
        assert mistakes(shelf) == []

    def test_whose_resource_is_no_url_pattern_is_a_mistake(self, shelf: Shelf) -> None:
        self.add(shelf, SCOPED + '@idempotent(using="bill", resource="bil")\n            def post(self, request): ...')
        found = only_mistake(shelf, "pangaea.E028")
        assert "names the resource 'bil', which is no URL pattern of it. There are: bill." in found

    def test_whose_url_has_the_name_of_another_modules_is_a_mistake(self, shelf: Shelf) -> None:
        for label in ("bill", "refund"):
            self.add(shelf, f"permission_classes = [HasScope('{label}:read')]", label=label, url="list")
        found = only_mistake(shelf, "pangaea.E026")
        assert "'bill' and 'refund' both name a URL pattern 'list'" in found
        assert "like refund-list" in found


class TestAnOperation:
    API = """
        from django.urls import path
        from drf_spectacular.utils import extend_schema
        from rest_framework import serializers
        from rest_framework.generics import GenericAPIView
        from pangaea.identity.permissions import HasScope

        class {serializer}(serializers.Serializer):
            {field} = serializers.IntegerField()

        class View(GenericAPIView):
            permission_classes = [HasScope("{label}:read")]
            serializer_class = {serializer}

            @extend_schema(operation_id="{operation}")
            def get(self, request): ...

        urlpatterns = [path("", View.as_view(), name="{label}-list")]
    """

    def doubts(self, shelf: Shelf, *added: dict[str, str]) -> list[str]:
        for each in added:
            label = each["label"]
            routes = f'routes = (Route("/api/v1/{label}s", urlconf="{label}.api"),)'
            scopes = f'scopes = (Scope("{label}:read", "Read.", roles=("customer",)),)'
            config = f"from pangaea.modules import Route, Scope\n{routes}\n{scopes}"
            shelf.add(label, config, api=self.API.format(**each))
        with shelf.installed():
            assert check_modules(None) == []
            return document.build()[1]

    def test_of_its_modules_name_is_right(self, shelf: Shelf) -> None:
        bill = {"label": "bill", "operation": "bill_list", "serializer": "Bill", "field": "a"}
        refund = {"label": "refund", "operation": "refund_list", "serializer": "Bill", "field": "b"}
        assert self.doubts(shelf, bill, refund) == []

    def test_that_is_not_named_after_its_module_is_a_mistake(self, shelf: Shelf) -> None:
        bill = {"label": "bill", "operation": "list_all", "serializer": "Bill", "field": "a"}
        (doubt,) = self.doubts(shelf, bill)
        assert "GET /api/v1/bills: the operation id 'list_all' does not begin with 'bill_'" in doubt

    def test_that_collides_with_another_modules_is_a_mistake(self, shelf: Shelf) -> None:
        bill = {"label": "bill", "operation": "bill_list", "serializer": "Bill", "field": "a"}
        refund = {"label": "refund", "operation": "bill_list", "serializer": "Bill", "field": "b"}
        assert any("bill_list" in each and "collision" in each for each in self.doubts(shelf, bill, refund))

    def test_whose_component_collides_with_another_modules_is_a_mistake(self, shelf: Shelf) -> None:
        late = {"label": "bill_late", "operation": "bill_late_list", "serializer": "Fee", "field": "a"}
        bill = {"label": "bill", "operation": "bill_list", "serializer": "LateFee", "field": "b"}
        assert any("BillLateFee" in each for each in self.doubts(shelf, late, bill))


class TestAModel:
    MODELS = """
        from django.db import models

        class Leaf(models.Model):
            class Meta:
                app_label = "{label}"
    """

    @pytest.mark.parametrize(
        ("label", "files", "named"),
        [("grove", [], True), ("hedge", ["__init__.py"], True), ("copse", ["__init__.py", "0001_initial.py"], False)],
    )
    def test_without_a_migration_is_a_mistake(self, shelf: Shelf, label: str, files: list[str], named: bool) -> None:
        shelf.add(label, models=self.MODELS.format(label=label))
        migrations = shelf.folder / label / "migrations"
        for file in files:
            migrations.mkdir(exist_ok=True)
            (migrations / file).touch()
        if not named:
            assert mistakes(shelf) == []
        else:
            found = only_mistake(shelf, "pangaea.W028")
            assert f"{label} has models and no migrations" in found
            assert f"`manage.py makemigrations {label}`" in found


class TestASubscription:
    def test_that_is_not_declared_is_a_mistake(self, shelf: Shelf) -> None:
        store(shelf, config="")
        found = only_mistake(shelf, "pangaea.E027")
        assert "store.handlers.ledger is not declared, so it does nothing." in found
        assert 'Add "store.handlers.ledger" to ModuleConfig.subscriptions.' in found

    def test_that_cannot_be_imported_is_a_mistake(self, shelf: Shelf) -> None:
        store(shelf, config='subscriptions = ("store.handlers.absent",)')
        assert "store.handlers.absent cannot be imported" in only_mistake(shelf, "pangaea.E003")

    def test_that_is_none_is_a_mistake(self, shelf: Shelf) -> None:
        store(shelf, config='subscriptions = ("store.handlers.note",)')
        assert "store.handlers.note is no subscription of store" in only_mistake(shelf, "pangaea.E004")

    def test_that_belongs_to_another_module_is_a_mistake(self, shelf: Shelf) -> None:
        store(shelf, handlers=LEDGER.replace("store.ledger", "shop.ledger"))
        assert "whose name begins with 'store'" in only_mistake(shelf, "pangaea.E004")

    def test_to_a_message_that_its_source_does_not_declare_is_a_mistake(self, shelf: Shelf) -> None:
        shop(shelf)
        store(shelf, acl=FOREIGN.replace("shop.sold", "shop.given_away"))
        mistake = only_mistake(shelf, "pangaea.E005")
        assert "store.ledger handles shop.given_away, which shop does not declare." in mistake
        assert "shop declares: shop.sell, shop.sold." in mistake

    def test_to_another_version_is_a_mistake(self, shelf: Shelf) -> None:
        shop(shelf)
        store(shelf, acl=FOREIGN.replace('"shop.sold"', '"shop.sold"\n        version: ClassVar[int] = 2'))
        assert "handles shop.sold in version 2; published is 1." in only_mistake(shelf, "pangaea.E006")

    def test_that_declares_a_command_as_an_event_is_a_mistake(self, shelf: Shelf) -> None:
        shop(shelf)
        store(shelf, acl=FOREIGN.replace("shop.sold", "shop.bought").replace("shop.sell", "shop.sold"))
        assert {each.id for each in mistakes(shelf)} == {"pangaea.E005", "pangaea.E006"}

    def test_that_handles_a_command_to_another_module_is_a_mistake(self, shelf: Shelf) -> None:
        shop(shelf)
        store(shelf, handlers=LEDGER.replace("acl.Sold", "acl.Sell"))
        texts = {each.id: each.msg for each in mistakes(shelf)}
        assert texts["pangaea.E007"] == "store.ledger handles shop.sell, which is a command to shop."


class TestACommand:
    def test_that_nothing_handles_is_a_mistake(self, shelf: Shelf) -> None:
        shop(shelf, config='accepts_commands_from = ("store",)', handlers="")
        assert "shop.sell is handled by nothing." in only_mistake(shelf, "pangaea.E008")

    def test_that_a_projection_handles_is_a_mistake(self, shelf: Shelf) -> None:
        shop(shelf, handlers=CASHIER.replace("Reaction", "Projection").replace(', begins="start"', ""))
        assert "shop.sell is handled by Projection('shop.cashier')." in only_mistake(shelf, "pangaea.E008")

    def test_that_two_handle_is_a_mistake(self, shelf: Shelf) -> None:
        twice = CASHIER + '\n    second = Reaction("shop.second", begins="start")\n    second.on(Sell)(sell)\n'
        shop(shelf, config='subscriptions = ("shop.handlers.cashier", "shop.handlers.second")', handlers=twice)
        assert "exactly one Reaction" in only_mistake(shelf, "pangaea.E008")

    def test_that_its_receiver_does_not_accept_is_a_mistake(self, shelf: Shelf) -> None:
        shop(shelf, config='subscriptions = ("shop.handlers.cashier",)')
        store(shelf)
        mistake = only_mistake(shelf, "pangaea.E009")
        assert "store sends shop.sell, and shop does not accept its commands." in mistake
        assert "accepts commands from: no module" in mistake
