"""Lists: pages by a cursor over a unique ordering, with the filters and orderings that the view declares.

A page is one query, which begins at the cursor's position in an index: it costs the same at any depth, and rows that
are inserted or deleted shift no others. Each row that keeps its position and is there during the whole walk is listed
once; one whose position changes meanwhile, like a product that is renamed, may be listed twice or not at all.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, QuerySet
from rest_framework import exceptions
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param
from rest_framework.views import APIView

from pangaea import text
from pangaea.api import bodies, describing, filters
from pangaea.api.cursors import Cursor, Ordering, Side
from pangaea.api.describing import Operation
from pangaea.errors import Misuse

CURSOR, LIMIT, ORDER = "cursor", "limit", "order"
EXAMPLE = "WyJhZnRlciIsIjciXQ.vPPkqLCDGc4WBZk"
"""A cursor, as the documents show one."""
LARGEST_NUMBER = 999_999_999
"""The largest `limit` that is read where one above `max_page_size` counts as that."""


@dataclass(frozen=True, slots=True)
class _Page:
    """The rows of a page, and the cursors of the pages beside it."""

    rows: Sequence[Model]
    following: str | None
    previous: str | None


class CursorPage(BasePagination):
    """{"next": path or null, "previous": path or null, "results": [...]}; 20 per page, `?limit=` up to 100.

    The view declares `ordering`: columns of the model, the last one unique (see `cursors.Ordering`). It may declare
    `orderings`, the values of `?order=` with their columns, and `filters` (see `filters.Filter`). A cursor is valid for
    the path, the ordering and the filters that it was made for; the limit may change. An invalid parameter is answered
    with 400; a limit above 100 counts as 100, and an unknown parameter is ignored.

    The links, in the body and as `Link` headers (RFC 8288), are relative references (RFC 3986, 4.2). An absolute URL
    would contain the port of the `Host` header, which the client chooses and no check verifies.
    """

    page_size = 20
    max_page_size = 100
    is_strict = False

    _page: _Page
    _url: str

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        """One page of the rows: one query. Raises DRF's ValidationError."""
        if self.is_strict:
            _refuse_unknown(request, {CURSOR, LIMIT, *([ORDER] if _orderings_of(view) else []), *_filters_of(view)})
        limit = self._limit(request)
        ordering = self._ordering(queryset.model, request, view)
        rows, used = filters.narrowed(queryset, _filters_of(view), request)
        bound_to = json.dumps([request.path, ordering.names, sorted(used)])
        cursor = self._cursor(request, ordering, bound_to)
        self._page = _read(rows, ordering, cursor, limit=limit, bound_to=bound_to)
        self._url = request.get_full_path()
        return list(self._page.rows)

    def get_paginated_response(self, data: Any) -> Response:
        """The page with its links."""
        following, previous = (
            each and replace_query_param(self._url, CURSOR, each)
            for each in (self._page.following, self._page.previous)
        )
        targets = {"first": remove_query_param(self._url, CURSOR), "prev": previous, "next": following}
        links = ", ".join(f'<{target}>; rel="{rel}"' for rel, target in targets.items() if target)
        return Response({"next": following, "previous": previous, "results": data}, headers={"Link": links})

    def _limit(self, request: Request) -> int:
        text = request.query_params.get(LIMIT)
        if text is None:
            return self.page_size
        largest = self.max_page_size if self.is_strict else LARGEST_NUMBER
        # int() is slow on long text.
        if not (text.isascii() and text.isdecimal() and len(text) <= len(str(largest)) and 0 < int(text) <= largest):
            raise _invalid(LIMIT, "invalid_limit", f"This is a whole number from 1 to {self.max_page_size}.")
        return min(int(text), self.max_page_size)

    def _ordering(self, model: type[Model], request: Request, view: APIView | None) -> Ordering:
        """The chosen ordering, or the view's. Raises Misuse for a view without one: its pages would repeat rows."""
        default = getattr(view, "ordering", None)
        if not default:
            raise Misuse(f"{type(view).__name__} has pages, so it must declare `ordering`, like ('-placed_at', '-id').")
        orderings = _orderings_of(view)
        chosen = request.query_params.get(ORDER) if orderings else None
        if chosen is not None and chosen not in orderings:
            raise _invalid(ORDER, "invalid_choice", f"This is one of: {', '.join(orderings)}.")
        names = orderings[chosen] if chosen is not None else default
        return _ordering(model, (names,) if isinstance(names, str) else tuple(names))

    def _cursor(self, request: Request, ordering: Ordering, bound_to: str) -> Cursor | None:
        text = request.query_params.get(CURSOR)
        if text is None:
            return None
        cursor = Cursor.read(text, ordering, bound_to=bound_to)
        if cursor is None:
            detail = "This is no cursor of this list, with this order and these filters. Begin again without one."
            raise _invalid(CURSOR, "invalid_cursor", detail)
        return cursor

    # The OpenAPI document

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema of a page of these results."""
        link = {"type": ["string", "null"], "format": "uri-reference"}
        example = f"/api/v1/things?{CURSOR}={EXAMPLE}"
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": link | {"description": "The following page; null on the last one.", "examples": [example]},
                "previous": link | {"description": "The page before; null on the first one.", "examples": [example]},
                "results": schema | {"maxItems": self.max_page_size},
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """The query parameters of a list."""
        largest = self.max_page_size if self.is_strict else LARGEST_NUMBER
        counts = "" if self.is_strict else f" A number above {self.max_page_size} counts as {self.max_page_size}."
        limit = {"type": "integer", "minimum": 1, "maximum": largest, "default": self.page_size}
        parameters = [
            _parameter(LIMIT, limit, f"Results in a page, at most {self.max_page_size}.{counts}"),
            _parameter(
                CURSOR,
                {"type": "string", "format": "cursor", "minLength": 1, "examples": [EXAMPLE]},
                "Where the page begins. Follow the links instead of making one up. A cursor is valid for the order and "
                "the filters that it was made for.",
            ),
        ]
        if orderings := _orderings_of(view):
            default = next(name for name, columns in orderings.items() if tuple(columns) == tuple(view.ordering))  # type: ignore[attr-defined]
            schema = {"type": "string", "enum": list(orderings), "default": default}
            parameters.append(_parameter(ORDER, schema, "The order of the results; `-` is descending."))
        for name, each in _filters_of(view).items():
            schema = view.schema._map_serializer_field(each.field, "request")  # type: ignore[union-attr] # noqa: SLF001 - spectacular has no public way
            view.schema._insert_field_validators(each.field, schema)  # type: ignore[union-attr] # noqa: SLF001 - as above
            schema.pop("description", None)  # spectacular repeats the choices there
            parameters.append(_parameter(name, schema, each.description))
        return parameters


class StrictCursorPage(CursorPage):
    """A CursorPage that refuses what it would ignore: unknown and repeated parameters, and a limit above 100."""

    is_strict = True


def describe(view: APIView, method: str, operation: Operation) -> None:
    """Add the Link header to the answers of lists."""
    del view, method
    if any(each["name"] == CURSOR for each in operation.get("parameters", ())):
        header = {
            "description": "Other pages (RFC 8288): rel `first`, and where there are such `prev` and `next`.",
            "required": True,
            "schema": {"type": "string"},
            "example": '</api/v1/things>; rel="first"',
        }
        describing.add_header(operation, "Link", header, statuses=("200",))


@functools.cache
def _ordering(model: type[Model], names: tuple[str, ...]) -> Ordering:
    return Ordering(model, names)


def _read(rows: QuerySet[Any], ordering: Ordering, cursor: Cursor | None, *, limit: int, bound_to: str) -> _Page:
    """A page of the rows: one more is read than it has, to know whether there are more."""
    is_backward = cursor is not None and cursor.side.is_backward
    rows = rows.order_by(*(ordering.backward if is_backward else ordering.names))
    if cursor is not None:
        rows = rows.filter(ordering.condition(cursor))
    found = list(rows[: limit + 1])
    has_more = len(found) > limit
    found = found[:limit][::-1] if is_backward else found[:limit]

    def cursor_at(side: Side, row: Model) -> str:
        return Cursor.at(side, row, ordering).text(bound_to=bound_to)

    if cursor is None:
        return _Page(found, following=cursor_at(Side.AFTER, found[-1]) if has_more else None, previous=None)
    if not found:  # the rows of this page were deleted meanwhile, and what is left is on the other side
        back = Cursor(cursor.side.opposite, cursor.position).text(bound_to=bound_to)
        return _Page([], following=back if is_backward else None, previous=None if is_backward else back)
    return _Page(
        found,
        following=cursor_at(Side.AFTER, found[-1]) if has_more or is_backward else None,
        previous=cursor_at(Side.BEFORE, found[0]) if has_more or not is_backward else None,
    )


def _filters_of(view: APIView | None) -> Mapping[str, filters.Filter]:
    return getattr(view, "filters", {})


def _orderings_of(view: APIView | None) -> Mapping[str, str | Sequence[str]]:
    """The values of `?order=`, with their columns."""
    return getattr(view, "orderings", {})


def _refuse_unknown(request: Request, known: set[str]) -> None:
    """Raise ValidationError for every parameter that the list does not have, or that occurs twice."""
    mistakes = {
        name: [exceptions.ErrorDetail("Send this parameter once.", "repeated_parameter")]
        for name in request.query_params
        if len(request.query_params.getlist(name)) > 1
    }
    there_are = f"There is no such parameter; there are: {', '.join(sorted(known))}."
    for name in sorted(request.query_params.keys() - known)[: bodies.MAX_NAMED]:
        mistakes[text.shortened(name)] = [exceptions.ErrorDetail(there_are, "unknown_parameter")]
    if mistakes:
        raise exceptions.ValidationError(mistakes)


def _parameter(name: str, schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": dict(schema), "description": description}


def _invalid(parameter: str, code: str, detail: str) -> exceptions.ValidationError:
    return exceptions.ValidationError({parameter: [exceptions.ErrorDetail(detail, code)]})
