"""What spectacular leaves out of a schema, so that the document is as strict as the server.

Requests are closed and answers are open: a client must ignore members that it does not know, and the tests refuse every
member that is not documented (ADR 0043).
"""

from collections.abc import Mapping
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.drainage import get_override
from rest_framework import serializers

from pangaea.api.bodies import StrictSerializer
from pangaea.api.fields import DOCUMENTED

NO_NULL = r"^[^\u0000]*$"
NOT_BLANK = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
"""ECMA 262, as JSON Schema has them; Python's `re` and Rust's `regex` read them alike."""


def complete_field(schema: dict[str, Any], field: serializers.Field[Any, Any, Any, Any], direction: str) -> None:
    """Add what the field enforces, and what it declares by `documented`."""
    if isinstance(field, serializers.ListSerializer):
        _bound_items(schema, field)
    if isinstance(field, serializers.CharField) and direction == "request" and not _has_a_pattern(field, schema):
        schema.setdefault("pattern", NOT_BLANK if field.trim_whitespace and not field.allow_blank else NO_NULL)
    if "$ref" not in schema:
        schema |= _declared(field)


def complete_object(schema: dict[str, Any], serializer: serializers.BaseSerializer[Any], direction: str) -> None:
    """Close a strict body, add what the class declares, and remove a description that is only inherited."""
    if isinstance(serializer, StrictSerializer) and direction == "request":
        schema["additionalProperties"] = False
    if vars(type(serializer)).get("__doc__") is None and not get_override(serializer, "description"):
        schema.pop("description", None)
    schema |= vars(type(serializer)).get(DOCUMENTED, {})


def _has_a_pattern(field: serializers.CharField, schema: Mapping[str, Any]) -> bool:
    """Whether a format or a validator, which spectacular adds later, restricts the characters already."""
    return "format" in schema or any(isinstance(each, RegexValidator) for each in field.validators)


def _declared(field: serializers.Field[Any, Any, Any, Any]) -> Mapping[str, Any]:
    """What `documented` gave the field: DRF copies the fields of a class without their attributes."""
    declared = getattr(type(field.parent), "_declared_fields", {}).get(field.field_name)
    found: Mapping[str, Any] = getattr(field, DOCUMENTED, None) or getattr(declared, DOCUMENTED, None) or {}
    return found


def _bound_items(schema: dict[str, Any], field: Any) -> None:
    if field.max_length is not None:
        schema["maxItems"] = field.max_length
    minimum = field.min_length if field.min_length is not None else int(not field.allow_empty)
    if minimum:
        schema["minItems"] = minimum
