"""Cursor pagination: a page costs the same at any depth, and inserts do not shift rows between pages."""

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Model, QuerySet
from rest_framework import exceptions
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from pangaea.errors import Misuse


class CursorPage(CursorPagination):
    """{"next": path or null, "previous": path or null, "results": [...]}; 20 per page, `?limit=` up to 100.

    The links are relative references (RFC 3986, 4.2). An absolute URL would contain the port of the `Host` header,
    which the client chooses and no check verifies. The view declares `ordering`: field names, the last one unique. An
    invalid limit or cursor is answered with 400; a limit above 100 counts as 100.
    """

    page_size = 20
    max_page_size = 100
    page_size_query_param = "limit"
    page_size_query_description = "Results in a page, at most 100."
    cursor_query_description = "Where the page begins. Follow `next` and `previous` instead of making one up."

    _model: type[Model]

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        """One page of the results. Raises DRF's ValidationError."""
        self._model = queryset.model
        page: list[Any] | None = super().paginate_queryset(queryset, request, view)
        self.base_url = request.get_full_path()
        return page

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        document: dict[str, Any] = super().get_paginated_response_schema(schema)
        for name, cursor in (("next", "cD00ODY="), ("previous", "cj0xJnA9NDg3")):
            example = f"/api/v1/things?{self.cursor_query_param}={cursor}"
            document["properties"][name] = {
                "type": ["string", "null"],
                "format": "uri-reference",
                "examples": [example],
            }
        return document

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        """The view's ordering. Raises Misuse for a view without one: its pages would repeat and lose rows."""
        ordering = getattr(view, "ordering", None)
        if not ordering:
            raise Misuse(f"{type(view).__name__} has pages, so it must declare `ordering`, like ('-placed_at', 'id').")
        return (ordering,) if isinstance(ordering, str) else tuple(ordering)

    def get_page_size(self, request: Request) -> int:
        """The requested limit. Raises DRF's ValidationError unless it is a positive number."""
        text = request.query_params.get(self.page_size_query_param)
        if text is None:
            return self.page_size
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):  # noqa: PLR2004 - int() is slow on long text
            raise _invalid(self.page_size_query_param, "invalid_limit", "This is a whole number from 1 to 100.")
        return min(int(text), self.max_page_size)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The request's cursor, or None. Raises DRF's ValidationError for a cursor that no link can contain."""
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None:
                self._check(cursor)
        except (exceptions.NotFound, ValidationError, ValueError, OverflowError):
            raise _invalid(self.cursor_query_param, "invalid_cursor", "This is no cursor of this list.") from None
        return cursor

    def _check(self, cursor: Cursor) -> None:
        """Raise unless the database can compare the position with the column: a forged cursor would cause a 500."""
        if cursor == Cursor(offset=0, reverse=False, position=None):  # what DRF returns for unrelated base64 text
            raise ValueError
        if cursor.position is None:
            return
        position = str(cursor.position)
        if "\x00" in position:
            raise ValueError
        try:
            field = self._model._meta.get_field(self.ordering[0].lstrip("-"))
        except FieldDoesNotExist:
            return
        value = field.to_python(position)  # type: ignore[union-attr]
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError
            value.astimezone(UTC)


def _invalid(parameter: str, code: str, detail: str) -> exceptions.ValidationError:
    return exceptions.ValidationError({parameter: [exceptions.ErrorDetail(detail, code)]})
