"""Rules on Django's app registry, once every model is loaded: relations, tables, settings."""

from collections.abc import Iterable, Iterator

from django.apps import apps
from django.apps.registry import Apps
from django.conf import settings
from django.db import models
from django.test.utils import isolate_apps

from pangaea import modules

OPERATIONS = {"ops", "auth", "admin", "contenttypes", "sessions"}
"""They share the database `default`, so they may refer to each other."""


Models = Iterable[type[models.Model]]


def loaded(registry: Apps | None = apps) -> Models:
    """Every model of the registry, with those of many-to-many tables."""
    return [model for each in registry.all_models.values() for model in each.values()] if registry else []


def crossings(found: Models) -> Iterator[str]:
    """Every relation between apps that are in different databases."""
    for model in found:
        for field in model._meta.get_fields():
            other = field.related_model
            if field.auto_created or not isinstance(other, type):
                continue
            here, there = model._meta.app_label, other._meta.app_label
            if here != there and not {here, there} <= OPERATIONS:
                yield f"{model._meta.label}.{field.name} -> {other._meta.label}"


def strays(found: Models, labels: list[str]) -> Iterator[str]:
    """Every model of a module whose table lacks the module's prefix, or whose code is outside the module's package."""
    for model in found:
        label = model._meta.app_label
        if label in labels and not model._meta.db_table.startswith(f"{label}_"):
            yield f"{model._meta.label} is kept in {model._meta.db_table}"
        if label in labels and not model.__module__.startswith(f"modules.{label}."):
            yield f"{model._meta.label} is written in {model.__module__}"


class TestRelations:
    def test_stay_within_an_app(self) -> None:
        assert list(crossings(loaded())) == []

    def test_across_apps_are_noticed(self) -> None:
        with isolate_apps() as registry:

            class Account(models.Model):
                class Meta:
                    app_label = "users"

            class Order(models.Model):
                customer = models.ForeignKey("users.Account", on_delete=models.CASCADE)
                watchers = models.ManyToManyField(Account)

                class Meta:
                    app_label = "orders"

            found = set(crossings(loaded(registry)))

        assert {"orders.Order.customer -> users.Account", "orders.Order.watchers -> users.Account"} <= found


class TestModels:
    def test_belong_to_their_module(self) -> None:
        assert list(strays(loaded(), modules.labels())) == []

    def test_elsewhere_are_noticed(self) -> None:
        with isolate_apps() as registry:

            class Order(models.Model):
                class Meta:
                    app_label = "orders"
                    db_table = "users_account"

            found = list(strays(loaded(registry), ["orders"]))

        assert found == [
            "orders.Order is kept in users_account",
            f"orders.Order is written in {__name__}",
        ]


class TestSettings:
    def test_open_no_transaction_per_request(self) -> None:
        assert [alias for alias, entry in settings.DATABASES.items() if entry.get("ATOMIC_REQUESTS")] == []

    def test_give_every_module_an_alias_of_its_own(self) -> None:
        assert set(settings.DATABASES) == {"default", *modules.labels()}
