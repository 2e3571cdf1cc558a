"""Problem documents where DRF does not reach: unknown paths and hosts, other views, and unforeseen errors."""

import sys
from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.core.exceptions import DisallowedHost, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.html import format_html
from django.views import defaults

from pangaea.api import problems, versioning
from pangaea.api.problems import Problem, ProblemResponse
from pangaea.databases.errors import is_transient

_HTML = ("text/html", "text/plain")


def serves_html(request: HttpRequest) -> bool:
    """Whether the path belongs to the admin, whose pages are for browsers. All other paths belong to APIs."""
    return request.path_info.startswith("/admin/")


class ProblemMiddleware:
    """Refuses unreadable requests, and replaces every HTML error of an API path with a problem document.

    Django's debug pages are replaced too: they would show settings and source to any client.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if refusal := refuse(request):
            return ProblemResponse(refusal, path=request.path)
        response = self._get_response(request)
        if serves_html(request) or response.status_code < HTTPStatus.BAD_REQUEST:
            return response
        if response.headers.get("Content-Type", "text/html").startswith(_HTML):
            return _replaced(response, request)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The answer to an exception from a view outside DRF. None for an unforeseen exception, which Django logs."""
        return answer(exception, request)


def answer(exception: Exception, request: HttpRequest) -> HttpResponse | None:
    """The answer to an exception, as a page on paths for browsers. None for an unforeseen exception.

    Of a page's exceptions only transient ones are answered here; Django has pages for the others that it knows.
    """
    if not serves_html(request):
        return problems.respond(exception, request)
    problem = problems.respond(exception, request) if is_transient(exception) else None
    return problem and _page(problem)


PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1><p>{detail}</p><p>Correlation id: {correlation_id}</p></body>
</html>
"""
"""It uses no template: those of the admin read the operator's session from the database."""


def _page(problem: ProblemResponse) -> HttpResponse:
    """The problem for a browser, with the same status and headers."""
    page = HttpResponse(format_html(PAGE, **problem.data), status=problem.status_code)
    for name, value in problem.headers.items():
        if name not in {"Content-Type", "Content-Length"}:
            page.headers[name] = value
    return page


def refuse(request: HttpRequest) -> Problem | None:
    """The problem of a request that cannot be read, whatever its path; None for a readable request."""
    if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
        return Problem(status=400, code="malformed_url", detail="The address has a null character.")
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower() and not request.headers.get("Content-Length"):
        return Problem(status=411, code="length_required", detail="Send the body with a Content-Length, not in chunks.")
    try:
        # Otherwise a charset in the Content-Type would choose the query's codec, and not every codec can decode it.
        # The assignment also parses the query.
        request.encoding = settings.DEFAULT_CHARSET
        request.get_host()
    except TooManyFieldsSent:
        return Problem(status=400, code="too_many_parameters", detail="The query has too many parameters.")
    except DisallowedHost:
        return Problem(status=400, code="unknown_host", detail="This server does not answer to that host name.")
    return None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400."""
    return problems.respond(exception, request) or _generic(HTTPStatus.BAD_REQUEST, request)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    if serves_html(request):
        return defaults.permission_denied(request, exception)
    return problems.respond(exception, request) or _generic(HTTPStatus.FORBIDDEN, request)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    if serves_html(request):
        return defaults.page_not_found(request, exception)
    return _generic(HTTPStatus.NOT_FOUND, request)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500. The traceback is in the log, with the correlation id that the document names."""
    exception = sys.exc_info()[1]
    if known := answer(exception, request) if isinstance(exception, Exception) else None:
        # `respond` has logged it. With this mark of its own, Django logs no traceback.
        known._has_been_logged = True  # type: ignore[attr-defined] # noqa: SLF001 - as above
        return known
    if serves_html(request):
        return defaults.server_error(request)
    return _generic(HTTPStatus.INTERNAL_SERVER_ERROR, request)


def _replaced(response: HttpResponseBase, request: HttpRequest) -> HttpResponse:
    """A problem document with the status and the headers of the response that it replaces."""
    problem = _generic(HTTPStatus(response.status_code), request)
    for name, value in response.headers.items():
        if name not in {"Content-Type", "Content-Length"}:
            problem.headers[name] = value
    problem.cookies = response.cookies
    # Its own `close` would also signal that the request has ended, which closes connections to databases.
    closers: list[Callable[[], None]] = getattr(response, "_resource_closers", [])
    for close in closers:
        close()
    return problem


def _generic(status: HTTPStatus, request: HttpRequest) -> ProblemResponse:
    if status == HTTPStatus.NOT_FOUND and (problem := versioning.unknown(request.path_info)):
        return ProblemResponse(problem, path=request.path)
    code, detail = {
        HTTPStatus.NOT_FOUND: ("not_found", "There is nothing at this address."),
        HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", f"{request.method} is not possible here; see Allow."),
        HTTPStatus.FORBIDDEN: ("permission_denied", "This is not allowed."),
        HTTPStatus.INTERNAL_SERVER_ERROR: (
            "internal_error",
            "This is our mistake. Send us the correlation id and we can find what happened.",
        ),
    }.get(status, (status.name.lower(), f"{status.phrase}."))
    return ProblemResponse(Problem(status=status, code=code, detail=detail), path=request.path)
