"""Columns of lists, and fields of pages, that show values as people write them."""

from abc import ABC, abstractmethod
from typing import Any

from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from pangaea.messages import Money


class Column(ABC):
    """A callable for `list_display` or `readonly_fields`. It is sorted by `admin_order_field`."""

    def __init__(self, *, description: str, order_by: str) -> None:
        self.short_description, self.admin_order_field = description, order_by
        self.__name__ = description.replace(" ", "_")

    @abstractmethod
    def __call__(self, row: Any) -> str:
        """The text for a row."""

    def annotated(self, rows: "QuerySet[Any]") -> "QuerySet[Any]":
        """The rows with what the column shows of other tables, so that a list needs no query per row."""
        return rows


class MoneyColumn(Column):
    """An amount in minor units and its currency, as in `12.50 EUR`."""

    def __init__(self, amount: str, currency: str, *, description: str) -> None:
        super().__init__(description=description, order_by=amount)
        self._amount, self._currency = amount, currency

    def __call__(self, row: Any) -> str:
        amount = getattr(row, self._amount)
        return "-" if amount is None else str(Money(amount, getattr(row, self._currency)))


class LinkColumn(Column):
    """The name of a row of the same module that `key` identifies, leading to its page; the key while there is no row.

    `name` is the field of `model` that people know the row by.
    """

    def __init__(self, key: str, *, model: type[Model], name: str, description: str) -> None:
        self._annotation = f"name_of_{key}"
        super().__init__(description=description, order_by=self._annotation)
        self._key, self._model, self._name = key, model, name

    def annotated(self, rows: "QuerySet[Any]") -> "QuerySet[Any]":
        found = self._model._default_manager.filter(pk=OuterRef(self._key)).values(self._name)[:1]
        annotated: QuerySet[Any] = rows.annotate(**{self._annotation: Subquery(found)})
        return annotated

    def __call__(self, row: Any) -> str:
        key, name = getattr(row, self._key), getattr(row, self._annotation, None)
        if name is None:
            return "-" if key is None else str(key)
        meta = self._model._meta
        try:
            page = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[key])
        except NoReverseMatch:
            return str(name)
        link = '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>'
        return format_html(link, page, name or key)
