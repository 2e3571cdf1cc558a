"""Requests as bytes, each with the answer that every topology gives: cases for `test_http_cases`.

A case is added here for every difference that is found between runserver, gunicorn and the gateway. `<host>` and
`<token>` are replaced: the address of the deployment, and the access token of a customer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.acceptance.raw_http import request

SERVERS: Mapping[str, str] = {
    "local": "runserver",
    "monolith-rabbitmq": "gunicorn",
    "monolith-redis": "gunicorn",
    "services": "gateway",
    "split": "gateway",
}
"""The server of each topology that a client is connected to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request, and what is the same in every answer to it.

    `code` is that of the problem document, which every answer with a status of 400 or above has. `headers` are regular
    expressions, by name, that match the whole value; `text` is one that occurs in the body. `unmet` names the servers
    (see SERVERS) that cannot give this answer, each with its reason: the test fails once they can.
    """

    name: str
    sent: bytes
    status: int
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    unmet: Mapping[str, str] = field(default_factory=dict)


def case(name: str, sent: bytes, status: int, code: str = "", /, **more: object) -> Case:
    """A case, in one line where it has no more."""
    return Case(name=name, sent=sent, status=status, code=code, **more)  # type: ignore[arg-type] # as Case has them


TOKEN = "Authorization: Bearer <token>"
JSON = "Content-Type: application/json"
PRODUCTS = "/api/v1/products?limit=1"
ORDERS = "/api/v1/orders"

ACCEPT = [
    case("no Accept", request(f"GET {PRODUCTS}"), 200),
    case("json is accepted", request(f"GET {PRODUCTS}", "Accept: application/json"), 200),
    case("a range is accepted", request(f"GET {PRODUCTS}", "Accept: text/html, application/*;q=0.1"), 200),
    case("another format is accepted", request(f"GET {PRODUCTS}", "Accept: text/html"), 406, "not_acceptable"),
]

BODIES = [
    case("a body that is no JSON", request(f"POST {ORDERS}", TOKEN, JSON, body=b"{"), 400, "malformed_json"),
    case("an empty body", request(f"POST {ORDERS}", TOKEN, JSON, "Content-Length: 0"), 400, "validation_failed"),
    case("no content type", request(f"POST {ORDERS}", TOKEN, body=b"{}"), 415, "unsupported_media_type"),
]

METHODS = [
    case("OPTIONS at an API", request(f"OPTIONS {ORDERS}", TOKEN), 200, headers={"Allow": ".*POST.*"}),
    case(
        "TRACE at an API", request(f"TRACE {ORDERS}", TOKEN), 405, "method_not_allowed", headers={"Allow": ".*POST.*"}
    ),
    case("HEAD at an API", request(f"HEAD {PRODUCTS}"), 200),
    case("HEAD at nothing", request("HEAD /nothing"), 404),
]

AUTHORIZATION = [
    case("no token", request(f"GET {ORDERS}"), 401, "token_missing", headers={"WWW-Authenticate": "Bearer realm=.*"}),
    case("a token", request(f"GET {ORDERS}", TOKEN), 200),
    case("a token in lower case's scheme", request(f"GET {ORDERS}", "Authorization: bearer <token>"), 200),
]

PATHS = [
    case("an unknown path", request("GET /nothing"), 404, "not_found"),
]

CASES = [*ACCEPT, *BODIES, *METHODS, *AUTHORIZATION, *PATHS]
