"""Every code that a problem document can have, explained: the kernel's here, a module's in ModuleConfig.problems.

`tests/architecture/test_problem_types.py` finds each code where it is raised, the gateway's in its template, and fails
where a code is not explained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pangaea import modules
from pangaea.modules import ProblemType

_TOKEN = "Log in again, or use the refresh token, and repeat the request with the new access token."  # noqa: S105 - prose
_TWICE = "Repeat a request that changes something with its `Idempotency-Key`; without one, read first whether it did."

KERNEL: tuple[ProblemType, ...] = (
    ProblemType("bad_request", 400, "The request cannot be read. Correct it; it fails again unchanged."),
    ProblemType("body_unreadable", 400, "The connection ended before the whole body had arrived. Send it again."),
    ProblemType(
        "idempotency_key_malformed",
        400,
        "The header `Idempotency-Key` is no key. Send it once, with 1 to 255 printable ASCII characters, bare or in "
        "double quotes. A UUID is best.",
    ),
    ProblemType(
        "idempotency_key_missing",
        400,
        "This operation needs the header `Idempotency-Key`, so that it can be repeated without a second effect. Send a "
        "new key with each new request, and the same one with each repeat.",
    ),
    ProblemType("malformed_json", 400, "The body is not JSON (RFC 8259), in UTF-8. `detail` has the place."),
    ProblemType("malformed_request", 400, "What arrived is no HTTP/1.1 request (RFC 9112). Correct the client."),
    ProblemType("malformed_url", 400, "The address has a null character, an encoded slash, or a fragment. Correct it."),
    ProblemType("parse_error", 400, "The body is not what its Content-Type announces. Correct one of them."),
    ProblemType(
        "precondition_malformed",
        400,
        "The header `If-Match` or `If-None-Match` is no list of entity tags. Send the `ETag` of an answer unchanged, "
        "with its quotes, or `*`.",
    ),
    ProblemType("too_many_parameters", 400, "The query has more parameters than are read. Send fewer."),
    ProblemType("unknown_host", 400, "The request names a host for which this server does not answer (ALLOWED_HOSTS)."),
    ProblemType(
        "validation_failed",
        400,
        "The body or the query breaks rules of this operation. `errors` lists each mistake: its place (`pointer` or "
        "`parameter`), its code and a sentence. Correct all of them and send the request again.",
        example={
            "detail": "The body of the request is not valid; see `errors`.",
            "errors": [
                {"pointer": "#/lines/0/quantity", "code": "min_value", "detail": "Ensure this value is at least 1."}
            ],
        },
    ),
    ProblemType("authentication_failed", 401, f"The credentials of the request are not valid. {_TOKEN}"),
    ProblemType("token_expired", 401, f"The access token was valid and no longer is. {_TOKEN}"),
    ProblemType(
        "token_invalid",
        401,
        "The access token is malformed, or was not signed by this system, or not for this service. Send it unchanged, "
        f"as `Authorization: Bearer <token>`. {_TOKEN}",
    ),
    ProblemType(
        "token_missing",
        401,
        "This address needs an access token, and the request has none. Log in, then send it with each request, as "
        "`Authorization: Bearer <token>`.",
    ),
    ProblemType(
        "caller_not_accepted",
        403,
        "Only named services may call this address directly, and the caller's certificate names none of them. Call it "
        "through the gateway; an operator can add a service to ACCEPTED_CALLERS.",
    ),
    ProblemType(
        "insufficient_scope",
        403,
        "The access token lacks a scope that this operation needs: `required_scope` names it. Get a token that has it; "
        "if the account's role has no such scope, the operation is not for this account.",
        example={
            "detail": "This needs an access token with the scope things:write.",
            "required_scope": "things:write",
        },
    ),
    ProblemType("permission_denied", 403, "The caller is known, and this is not allowed to them."),
    ProblemType(
        "not_found",
        404,
        "There is nothing at this address. The documents of the API list all addresses.",
    ),
    ProblemType(
        "unknown_subscription",
        404,
        "No module of this process declares a subscription of that name. `detail` lists them.",
    ),
    ProblemType(
        "unknown_version",
        404,
        "The address exists in other versions of this API only. `versions` lists them: put one of them into the path.",
        example={"versions": ["v1", "v2"]},
    ),
    ProblemType("method_not_allowed", 405, "The address exists, for other methods: the header `Allow` lists them."),
    ProblemType(
        "not_acceptable", 406, "The header `Accept` excludes every form of the answer. Accept application/json."
    ),
    ProblemType("request_timeout", 408, "The request did not arrive within the time for it. Send it again, faster."),
    ProblemType(
        "idempotency_key_in_use",
        409,
        "A request with this `Idempotency-Key` is being executed. Repeat it after as many seconds as the header "
        "`Retry-After` states: the answer is then that of the first request.",
    ),
    ProblemType("length_required", 411, "The body came in chunks. Send it with a Content-Length."),
    ProblemType(
        "precondition_failed",
        412,
        "What you want to change is not as it was when you read it: its `ETag` is none of those in `If-Match`. Nothing "
        "was done. Read it again and decide again.",
    ),
    ProblemType("body_too_large", 413, "The body is larger than this server accepts. Send less at once."),
    ProblemType(
        "url_too_long", 414, "The address with its query is longer than this server accepts. Shorten the query."
    ),
    ProblemType(
        "unsupported_media_type", 415, "The body is in a format that is not read here. `Accept` names one that is."
    ),
    ProblemType(
        "unsupported_charset",
        415,
        "The Content-Type names another charset than UTF-8. JSON is in UTF-8: send it without.",
    ),
    ProblemType(
        "unsupported_content_coding",
        415,
        "The body is compressed, and nothing here is decompressed. Send it without a Content-Encoding.",
    ),
    ProblemType("unknown_expectation", 417, "The only value that the header `Expect` may have is 100-continue."),
    ProblemType(
        "idempotency_key_reused",
        422,
        "The `Idempotency-Key` belongs to another request of this caller to this operation: path, query or body were "
        "others. Nothing was done. Send a new key with each new request.",
    ),
    ProblemType("reason_missing", 422, "This action is recorded with its reason, and none was given."),
    ProblemType("reason_unreadable", 422, "The reason of this action has a character that cannot be seen. Remove it."),
    ProblemType("http_version_too_old", 426, "The request is of an HTTP version before 1.1. Use HTTP/1.1 or HTTP/2."),
    ProblemType(
        "precondition_required",
        428,
        "This change needs the header `If-Match` with the `ETag` of what you have read, so that a change by others in "
        "between is not lost. Read it, and send its tag.",
    ),
    ProblemType(
        "throttled",
        429,
        "There were too many requests within the window of a limit, or too many failed log-ins. `violated-policies` "
        "names the limit; the headers `RateLimit-Policy` and `RateLimit` have its numbers. Wait as many seconds as the "
        "header `Retry-After` states, then go on more slowly. A quota that depends on the account's plan changes with "
        "it, from the next access token on.",
    ),
    ProblemType("header_too_large", 431, "The header fields are longer or more than this server accepts. Send fewer."),
    ProblemType("error", 500, "The request failed for a reason that has no code of its own. `detail` has it."),
    ProblemType(
        "internal_error",
        500,
        "This is a mistake of ours. The traceback is in the log: send us the `correlation_id`, and we find it. "
        f"{_TWICE}",
    ),
    ProblemType("unknown_transfer_coding", 501, "The body has a transfer coding that is not read here. Send none."),
    ProblemType(
        "interrupted",
        502,
        f"The service ended the connection after it had got the request, so the work may be done. {_TWICE}",
    ),
    ProblemType(
        "refused_by_gateway",
        502,
        "The gateway could not pass the request on, or refused it for a reason that has no code of its own: an escaped "
        "slash in the path, for example. The status narrows it down; the access log of the gateway has it as `why`.",
    ),
    ProblemType(
        "not_ready",
        503,
        "This process cannot serve requests at present. `checks` names what it lacks. It is tried again automatically.",
    ),
    ProblemType(
        "too_busy",
        503,
        "This address has as many requests at once as one process answers, so that it leaves others alone. The request "
        "had no effect. Repeat it after as many seconds as the header `Retry-After` states.",
    ),
    ProblemType(
        "unavailable",
        503,
        "Something that this needs is busy or does not answer, and the request had no effect. Repeat it after as many "
        "seconds as the header `Retry-After` states.",
    ),
    ProblemType("timeout", 504, f"The service did not answer in time. It may have done the work. {_TWICE}"),
)
"""The problems of the kernel and of the gateway."""

_STATUSES = tuple(
    ProblemType(status.name.lower(), status, f"{status.description or status.phrase}.")
    for status in HTTPStatus
    if status >= HTTPStatus.BAD_REQUEST
)
"""An error of Django or DRF that has no code of its own gets the name of its status."""

SHARED: Mapping[str, ProblemType] = {each.code: each for each in (*_STATUSES, *KERNEL)}
"""What every process can answer, by code."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A problem type, and the label of the module that declares it; None for the kernel's."""

    type: ProblemType
    module: str | None

    def as_dict(self) -> dict[str, Any]:
        """The content of its page."""
        code, status = self.type.code, HTTPStatus(self.type.status)
        return {
            "type": f"/problems/{code}",
            "title": code.replace("_", " ").capitalize(),
            "status": status.value,
            "phrase": status.phrase,
            "code": code,
            "module": self.module,
            "explanation": self.type.explanation,
        }


def explain(code: str) -> Explained | None:
    """The explanation of a code; None for one that this process does not know.

    The kernel's codes mean the same everywhere. A code of two modules is explained by the first, by label.
    """
    if code in SHARED:
        return Explained(SHARED[code], None)
    return next(
        (Explained(each, label) for label, found in of_modules().items() for each in found if each.code == code), None
    )


def of_modules() -> dict[str, tuple[ProblemType, ...]]:
    """The problem types that the installed modules declare, by label."""
    return {module.label: module.problems for module in modules.installed()}
