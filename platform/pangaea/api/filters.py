"""Filters of lists: query parameters that narrow a list, declared beside the view, strict and documented.

filters = {"placed_since": Filter("placed_at__gte", MomentField(), "Only orders placed at this moment or later.")}
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework import serializers
from rest_framework.request import Request

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filter:
    """A query parameter that narrows a list.

    `by` is a lookup of the model, like `placed_at__gte`, or a function from the value to a condition. `field` parses
    and bounds the value, also in the OpenAPI document; `description` explains it there. Filter by what an index serves.
    """

    by: str | Callable[[Any], Q]
    field: "serializers.Field[Any, Any, Any, Any]"
    description: str

    def condition(self, text: str) -> Q:
        """The condition for this text of the parameter. Raises DRF's ValidationError."""
        value = self.field.run_validation(text)
        return self.by(value) if callable(self.by) else Q(**{self.by: value})


class FlagField(serializers.BooleanField):
    """`true` or `false`, and no other spelling."""

    def to_internal_value(self, data: Any) -> bool:
        if data not in {"true", "false"}:
            self.fail("invalid", input=data)
        return bool(data == "true")


class NumberField(serializers.IntegerField):
    """A whole number in decimal digits."""

    def to_internal_value(self, data: Any) -> int:
        if not _WHOLE.fullmatch(data):
            self.fail("invalid")
        return int(data)


class MomentField(serializers.DateTimeField):
    """A time with its offset (RFC 3339), like `2026-11-22T13:36:22Z`. A `+` of the offset is sent as `%2B`."""

    default_error_messages = {
        "invalid": "This is no time with an offset, like 2026-11-22T13:36:22Z. Send the `+` of an offset as `%2B`."
    }

    def to_internal_value(self, value: Any) -> Any:
        if not _MOMENT.fullmatch(value):
            self.fail("invalid")
        return super().to_internal_value(value)


def narrowed(rows: QuerySet[Any], filters: Mapping[str, Filter], request: Request) -> tuple[QuerySet[Any], list[str]]:
    """The rows that meet the request's filters, and these filters as text.

    Raises DRF's ValidationError with every mistake.
    """
    conditions: list[Q] = []
    used: list[str] = []
    mistakes: dict[str, Any] = {}
    for name, each in filters.items():
        texts = request.query_params.getlist(name)
        if not texts:
            continue
        if len(texts) > 1:
            mistakes[name] = [serializers.ErrorDetail("Send this parameter once.", "repeated_parameter")]
            continue
        try:
            conditions.append(each.condition(texts[0]))
        except serializers.ValidationError as error:
            mistakes[name] = error.detail
        used.append(f"{name}={texts[0]}")
    if mistakes:
        raise serializers.ValidationError(mistakes)
    return rows.filter(*conditions), used
