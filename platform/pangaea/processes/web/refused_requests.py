"""Answers to requests that never reach Django: malformed, late, or from a caller that is not accepted."""

from http import HTTPStatus

import structlog
from gunicorn.http import errors

from pangaea.api import cache_control, content_security
from pangaea.api.problems import Problem, ProblemResponse
from pangaea.telemetry import correlation

log = structlog.get_logger()

TOO_LONG = Problem(
    status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    code="header_too_large",
    detail="The header fields of the request are too long or too many.",
)
TOO_SLOW = Problem(
    status=HTTPStatus.REQUEST_TIMEOUT, code="request_timeout", detail="The request did not arrive in time."
)
INTERNAL = Problem(
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    code="internal_error",
    detail="This is our mistake. Send us the correlation id and we can find what happened.",
)


class MalformedUrl(errors.ParseException):  # type: ignore[misc] # gunicorn has no types
    """The address has an encoded slash, backslash or null character, or a fragment."""


class BodyTooLarge(errors.ParseException):  # type: ignore[misc] # gunicorn has no types
    """The chunked body is longer than DATA_UPLOAD_MAX_MEMORY_SIZE."""


_OF_PARSER: tuple[tuple[type[Exception], Problem], ...] = (
    (
        errors.LimitRequestLine,
        Problem(status=HTTPStatus.REQUEST_URI_TOO_LONG, code="url_too_long", detail="The address is too long."),
    ),
    (errors.LimitRequestHeaders, TOO_LONG),
    (
        errors.UnsupportedTransferCoding,
        Problem(
            status=HTTPStatus.NOT_IMPLEMENTED,
            code="unknown_transfer_coding",
            detail="Send the body with a Content-Length and without another transfer coding.",
        ),
    ),
    (
        BodyTooLarge,
        Problem(
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            code="body_too_large",
            detail="The body is larger than this server accepts.",
        ),
    ),
    (
        MalformedUrl,
        Problem(
            status=HTTPStatus.BAD_REQUEST,
            code="malformed_url",
            detail="The address has an encoded slash, backslash or null character, or a fragment.",
        ),
    ),
    (
        errors.ExpectationFailed,
        Problem(
            status=HTTPStatus.EXPECTATION_FAILED,
            code="unknown_expectation",
            detail="The only supported expectation is 100-continue.",
        ),
    ),
    (
        errors.ParseException,
        Problem(
            status=HTTPStatus.BAD_REQUEST,
            code="malformed_request",
            detail="This is not a valid HTTP/1.1 request (RFC 9112).",
        ),
    ),
)
"""The problem for each exception of gunicorn's parser. The first match counts."""


def problem_of(error: Exception) -> Problem | None:
    """The problem for a client's mistake; None for any other error."""
    if _has_unknown_coding(error):
        error = errors.UnsupportedTransferCoding("Transfer-Encoding")
    return next((problem for kind, problem in _OF_PARSER if isinstance(error, kind)), None)


def _has_unknown_coding(error: Exception) -> bool:
    """Whether the body is in a transfer coding other than chunked, which is 501 (RFC 9112, 6.1); gunicorn's is 400."""
    if not isinstance(error, errors.InvalidHeader) or error.hdr != "TRANSFER-ENCODING":
        return False
    fields = dict(error.req.headers)
    return "CONTENT-LENGTH" not in fields and "chunked" not in fields["TRANSFER-ENCODING"].lower()


def answer(problem: Problem, *, client: str, error: Exception | None = None) -> bytes:
    """The bytes of the response, after which the connection is closed. Logged here, since the access log lacks it."""
    with correlation.scope(None) as id_:
        response = ProblemResponse(problem, path="")
        log.warning(
            "request refused",
            client=client,
            code=problem.code,
            status=problem.status,
            error=type(error).__name__ if error else None,
        )
    response.headers[content_security.HEADER] = content_security.POLICY
    response.headers[cache_control.HEADER] = cache_control.ERROR
    headers = {**response.headers, correlation.HEADER: id_, "Connection": "close"}
    status = HTTPStatus(problem.status)
    lines = [f"HTTP/1.1 {status} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.content
