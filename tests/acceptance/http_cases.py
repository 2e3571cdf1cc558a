"""Requests as bytes, each with the answer that every topology gives: cases for `test_http_cases`.

A case is added here for every difference that is found between runserver, gunicorn and the gateway. `<host>` and
`<token>` are replaced: the address of the deployment, and the access token of a customer.

It is long because it is one list.
"""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.acceptance.raw_http import request
from tests.acceptance.topologies import ORIGIN

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

    Every answer with a status of 400 or above is a problem document. Regular expressions: `code` matches its code;
    `headers` match the whole value of the header of that name; `text` occurs in the body. `unmet` names the servers
    (see SERVERS) that do not give this answer, each with its reason: the test fails once they do.
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
BEARER = {"WWW-Authenticate": "Bearer .*"}
CHUNKED = ("Transfer-Encoding: chunked", "Expect: 100-continue")
UNCODED = {"Accept-Encoding": "identity"}
ALLOW = {"Allow": "GET, POST, HEAD, OPTIONS"}
REGISTERED_METHODS = {"gateway": "Envoy's parser answers a method that is not registered with 400 (ADR 0039)."}

ACCEPT = [
    case("no Accept", request(f"GET {PRODUCTS}"), 200),
    case("an empty Accept", request(f"GET {PRODUCTS}", "Accept:"), 200),
    case("json is accepted", request(f"GET {PRODUCTS}", "Accept: application/json"), 200),
    case("json in capitals is accepted", request(f"GET {PRODUCTS}", "Accept: APPLICATION/JSON"), 200),
    case("a range is accepted", request(f"GET {PRODUCTS}", "Accept: text/html, application/*;q=0.1"), 200),
    case("json is accepted and all else refused", request(f"GET {PRODUCTS}", "Accept: application/json, */*;q=0"), 200),
    case("a second Accept has json", request(f"GET {PRODUCTS}", "Accept: text/html", "Accept: application/json"), 200),
    case("an Accept that is malformed", request(f"GET {PRODUCTS}", "Accept: ;;, nonsense"), 200),
    case("another format is accepted", request(f"GET {PRODUCTS}", "Accept: text/html"), 406, "not_acceptable"),
    case("json is refused", request(f"GET {PRODUCTS}", "Accept: application/json;q=0"), 406, "not_acceptable"),
    case(
        "json is not among all", request(f"GET {PRODUCTS}", "Accept: */*, application/json;q=0"), 406, "not_acceptable"
    ),
    case("all is refused", request(f"GET {PRODUCTS}", "Accept: */*;q=0.000"), 406, "not_acceptable"),
    case("problems are accepted", request("GET /api/v1/products/NO", "Accept: application/problem+json"), 404, ".*"),
    case("another format without a token", request(f"GET {ORDERS}", "Accept: text/html"), 401, "token_missing"),
    case("another format at nothing", request("GET /nothing", "Accept: text/html"), 404, "not_found"),
]

BODIES = [
    case("a body that is no JSON", request(f"POST {ORDERS}", TOKEN, JSON, body=b"{"), 400, "malformed_json"),
    case("an empty body", request(f"POST {ORDERS}", TOKEN, JSON, "Content-Length: 0"), 400, "validation_failed"),
    case("no body", request(f"POST {ORDERS}", TOKEN, JSON), 400, "validation_failed"),
    case("no content type", request(f"POST {ORDERS}", TOKEN, body=b"{}"), 415, "unsupported_media_type"),
    case(
        "a gzip body",
        request(f"POST {ORDERS}", TOKEN, JSON, "Content-Encoding: gzip", body=gzip.compress(b"{}")),
        415,
        "unsupported_content_coding",
        headers=UNCODED,
    ),
    case(
        "a plain body that claims to be gzip",
        request("POST /api/v1/accounts", JSON, "Content-Encoding: GZip", body=b"{}"),
        415,
        "unsupported_content_coding",
        headers=UNCODED,
    ),
    case(
        "codings in two headers",
        request(f"POST {ORDERS}", TOKEN, JSON, "Content-Encoding: identity", "Content-Encoding: br", body=b"{}"),
        415,
        "unsupported_content_coding",
        headers=UNCODED,
    ),
    case(
        "a body without coding",
        request(f"POST {ORDERS}", TOKEN, JSON, "Content-Encoding: identity", body=b"{}"),
        400,
        "validation_failed",
    ),
    case(
        "a charset other than UTF-8",
        request(f"POST {ORDERS}", TOKEN, f"{JSON}; charset=iso-8859-1", body=b"{}"),
        415,
        "unsupported_charset",
    ),
    case(
        "the charset UTF-8", request(f"POST {ORDERS}", TOKEN, f'{JSON}; charset="UTF-8"', body=b"{}"), 400, ".*failed"
    ),
    case(
        "a byte order mark",
        request(f"POST {ORDERS}", TOKEN, JSON, body=b"\xef\xbb\xbf{}"),
        400,
        "malformed_json",
        text="byte order mark",
    ),
    *(
        case(
            f"a body in {charset}",
            request(f"POST {ORDERS}", TOKEN, JSON, body='{"lines": []}'.encode(charset)),
            400,
            "malformed_json",
            text="UTF-(16|32).*UTF-8",
        )
        for charset in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
    ),
    case(
        "an unknown transfer coding",
        request(f"POST {ORDERS}", TOKEN, JSON, "Transfer-Encoding: gzip", body=b"{}"),
        501,
        "unknown_transfer_coding",
    ),
    case(
        "a body of more than 1 MiB",
        request(f"POST {ORDERS}", TOKEN, JSON, body=b" " * (1 << 20) + b"{}"),
        413,
        "body_too_large",
    ),
    *(
        case(
            f"the length {length!r}",
            request(f"POST {ORDERS}", TOKEN, JSON, f"Content-Length: {length}", body=b"{}"),
            400,
            "malformed_request",
        )
        for length in ("", "-1", "+2", "2, 2", "2.0", "\xb2")
    ),
    *(
        case(f"a body in chunks, {name}", request(f"POST {ORDERS}", TOKEN, JSON, *CHUNKED, body=body), status, code)
        for name, body, status, code in (
            ("one", b'd\r\n{"lines": []}\r\n0\r\n\r\n', 400, "validation_failed"),
            (
                "two, with an extension and a trailer",
                b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\nX-A: b\r\n\r\n",
                400,
                "validation_failed",
            ),
            ("none", b"0\r\n\r\n", 400, "validation_failed"),
            ("of no JSON", b"1\r\n{\r\n0\r\n\r\n", 400, "malformed_json"),
            ("with a size that is none", b"x\r\n{}\r\n0\r\n\r\n", 400, "malformed_request"),
            ("longer than its size", b"1\r\n{}\r\n0\r\n\r\n", 400, "malformed_request"),
            ("of more than 1 MiB", b"100001\r\n%b\r\n0\r\n\r\n" % (b" " * 0x100001), 413, "body_too_large"),
        )
    ),
    case(
        "two lengths",
        request(f"POST {ORDERS}", TOKEN, JSON, "Content-Length: 2", "Content-Length: 3", body=b"{}"),
        400,
        "malformed_request",
    ),
    case(
        "a length and a transfer coding",
        request(f"POST {ORDERS}", TOKEN, JSON, "Content-Length: 2", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        400,
        "malformed_request",
    ),
]

METHODS = [
    case("OPTIONS at an API", request(f"OPTIONS {ORDERS}", TOKEN), 200, headers={"Allow": ".*POST.*"}),
    *(
        case(f"{method} at an API", request(f"{method} {ORDERS}", TOKEN), 405, "method_not_allowed", headers=ALLOW)
        for method in ("TRACE", "PUT", "PATCH", "DELETE")
    ),
    case(
        "an unknown method",
        request(f"BREW {ORDERS}", TOKEN),
        405,
        "method_not_allowed",
        headers=ALLOW,
        unmet=REGISTERED_METHODS,
    ),
    case("a method in lower case", request(f"get {PRODUCTS}"), 400, "malformed_request"),
    case("CONNECT", request(f"CONNECT {PRODUCTS}"), 400, "malformed_request"),
    case("CONNECT to a host", request("CONNECT <host>"), 400, "malformed_request"),
    *(
        case(
            f"{method} at {path}",
            request(f"{method} {path}"),
            405,
            "method_not_allowed",
            headers={"Allow": "GET, HEAD"},
        )
        for method in ("OPTIONS", "POST", "PUT", "DELETE")
        for path in ("/", "/problems/token_missing", "/api/docs/", "/api/schema/")
    ),
    case("HEAD at an API", request(f"HEAD {PRODUCTS}"), 200),
    case("HEAD at nothing", request("HEAD /nothing"), 404),
    case("HEAD without a token", request(f"HEAD {ORDERS}"), 401, headers=BEARER),
]

AUTHORIZATION = [
    case("no token", request(f"GET {ORDERS}"), 401, "token_missing", headers=BEARER),
    case("no token, but the scheme", request(f"GET {ORDERS}", "Authorization: Bearer"), 401, "token_invalid"),
    case("another scheme", request(f"GET {ORDERS}", "Authorization: Basic eDp5"), 401, "token_missing"),
    case("a token", request(f"GET {ORDERS}", TOKEN), 200),
    case("the scheme in lower case", request(f"GET {ORDERS}", "Authorization: bearer <token>"), 200),
    case("the scheme in capitals", request(f"GET {ORDERS}", "Authorization: BEARER <token>"), 200),
    case("the scheme in mixed case", request(f"GET {ORDERS}", "Authorization: bEaReR <token>"), 200),
    case("several spaces before a token", request(f"GET {ORDERS}", "Authorization: Bearer    <token>"), 200),
    case("spaces after a token", request(f"GET {ORDERS}", "Authorization: Bearer <token>   "), 200),
    case("two tokens", request(f"GET {ORDERS}", TOKEN + " <token>"), 401, "token_invalid", headers=BEARER),
    case("two tokens in two headers", request(f"GET {ORDERS}", TOKEN, TOKEN), 401, "token_invalid", headers=BEARER),
    case("a token that is none", request(f"GET {ORDERS}", "Authorization: Bearer x"), 401, "token_invalid"),
    case("a token that is none, in public", request(f"GET {PRODUCTS}", "Authorization: Bearer x"), 200),
]

LENGTHS = [
    case("a request line of 4,000 bytes", request(f"GET {PRODUCTS}&x=".ljust(4000, "a")), 200),
    *(
        case(f"a request line of 5,000 bytes at {path}", request(f"GET {path}?".ljust(5000, "a")), 414, "url_too_long")
        for path in ("/api/v1/products",)
    ),
    *(
        case(
            f"a request line of 5,000 bytes at {path}",
            request(f"GET {path}?".ljust(5000, "a")),
            414,
            "url_too_long",
        )
        for path in (ORDERS, "/nothing")
    ),
    case("a header of 8,000 bytes", request(f"GET {PRODUCTS}", "X-A: ".ljust(8000, "a")), 200),
    case("a header of 9,000 bytes", request(f"GET {PRODUCTS}", "X-A: ".ljust(9000, "a")), 431, "header_too_large"),
    case(
        "a header of 9,000 bytes where a token is missing",
        request(f"GET {ORDERS}", "X-A: ".ljust(9000, "a")),
        431,
        "header_too_large",
    ),
    case(
        "headers of 64,000 bytes", request(f"GET {PRODUCTS}", *["X-A: ".ljust(8000, "a")] * 8), 431, "header_too_large"
    ),
    case("98 headers and two", request(f"GET {PRODUCTS}", *["X-A: a"] * 98), 200),
    case("99 headers and two", request(f"GET {PRODUCTS}", *["X-A: a"] * 99), 431, "header_too_large"),
    case("a request line of 4,094 bytes", request(f"GET {PRODUCTS}&x=".ljust(4094 - 9, "a")), 200),
    case("a request line of 4,095 bytes", request(f"GET {PRODUCTS}&x=".ljust(4095 - 9, "a")), 414, "url_too_long"),
    case("a header of 8,190 bytes", request(f"GET {PRODUCTS}", "X-A: ".ljust(8190, "a")), 200),
    case("a header of 8,191 bytes", request(f"GET {PRODUCTS}", "X-A: ".ljust(8191, "a")), 431, "header_too_large"),
    case("110 headers", request(f"GET {PRODUCTS}", *["X-A: a"] * 110), 431, "header_too_large"),
    case("a line without an end", request(f"GET {PRODUCTS}&x=".ljust(70_000, "a")), 431, "header_too_large"),
]

TARGETS = [
    case("an unknown path", request("GET /nothing"), 404, "not_found"),
    case(
        "an answer to a request that was counted",
        request(f"GET {PRODUCTS}"),
        200,
        headers={
            "RateLimit-Policy": r'"orders:products_per_minute";q=60+;w=60(, "gateway";q=60+;w=60)?',
            "RateLimit": r'"orders:products_per_minute";r=\d+;t=\d+(, "gateway";r=\d+;t=\d+)?',
        },
    ),
    case("a trailing slash", request("GET /api/v1/products/"), 404, "not_found"),
    case("an escape that is none", request("GET /api/v1/products/%zz"), 404, ".*not_found"),
    case("an escape sequence of a terminal", request("GET /api/v1/products/%1B%5B2J"), 404, ".*not_found"),
    case("an escaped byte that is not UTF-8", request("GET /api/v1/products/%FF"), 404, ".*not_found"),
    case("an escaped letter", request("GET /api/v1/%70roducts?limit=1"), 200),
    *(
        case(f"the path {path}", request(f"GET {path}?limit=1"), 200)
        for path in ("/api/v1/./products", "/api/v1/orders/../products", "/api/v1/%2e/products")
    ),
    *(case(f"the path {path}", request(f"GET {path}"), 404, "not_found") for path in ("//api/v1/products", "/api//v1")),
    case("more dots than folders", request("GET /../../api/v1/products?limit=1"), 200),
    *(
        case(f"{what} in the path", request(f"GET /api/v1/products/a{what}b"), 400, "malformed_url")
        for what in ("%2F", "%5c", "%00")
    ),
    case("a null character in the query", request(f"GET {PRODUCTS}&x=%00"), 400, "malformed_url"),
    case("a fragment", request(f"GET {PRODUCTS}#x"), 400, "malformed_url"),
    *(
        case(f"{what!r} in the path", request(f"GET /api/v1/products/a{what}b"), 400, "malformed_request")
        for what in ("\x00", " ", "\xe9", "\x7f")
    ),
    case("no slash", request("GET api/v1/products"), 400, "malformed_request"),
    case("an asterisk", request("GET *"), 400, "malformed_request"),
    case("the address in full", request(f"GET http://<host>{PRODUCTS}"), 200),
    case(
        "the address of another host in full", request(f"GET http://elsewhere.example{PRODUCTS}"), 400, "unknown_host"
    ),
    case("two values of a parameter", request("GET /api/v1/products?limit=1&limit=2"), 200),
    *(
        case(f"the limit {limit!r}", request(f"GET /api/v1/products?limit={limit}"), 400, "validation_failed")
        for limit in ("", "0", "-1", "%2B1", "1_0", "%201", "1.0", "%D9%A3", "%ff", "9" * 3000)
    ),
    case("a thousand parameters", request(f"GET /api/v1/products?{'a&' * 1100}"), 400, "too_many_parameters"),
]

KEYS = [
    *(
        case(
            f"the key {key!r}",
            request(f"POST {ORDERS}", TOKEN, JSON, f"Idempotency-Key: {key}", body=b'{"lines": []}'),
            400,
            code,
        )
        for key, code in (
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "validation_failed"),
            ('"8e03978e-40d5-43dd-bc93-6894a57f9324"', "validation_failed"),
            ("", "idempotency_key_malformed"),
            ('"a', "idempotency_key_malformed"),
            ("a" * 256, "idempotency_key_malformed"),
            ("\xe9", "idempotency_key_malformed"),
        )
    ),
    case(
        "two keys",
        request(f"POST {ORDERS}", TOKEN, JSON, "Idempotency-Key: a", "Idempotency-Key: b", body=b'{"lines": []}'),
        400,
        "idempotency_key_malformed",
    ),
    case(
        "no key where it is needed",
        request("POST /api/v2/orders", TOKEN, JSON, body=b'{"lines": []}'),
        400,
        "idempotency_key_missing",
    ),
    case("a key where none is needed", request(f"GET {PRODUCTS}", 'Idempotency-Key: "'), 200),
]

HEADERS = [
    case("no Host", request(f"GET {PRODUCTS}", "Host: none"), 400, "malformed_request"),
    case("an empty Host", request(f"GET {PRODUCTS}", "Host:"), 400, "unknown_host"),
    case(
        "two Hosts", request(f"GET {PRODUCTS}", "Host: <host>", "Host: <host>"), 400, "malformed_request|unknown_host"
    ),
    case("another Host", request(f"GET {PRODUCTS}", "Host: elsewhere.example"), 400, "unknown_host"),
    *(
        case(f"the Host {host!r}", request(f"GET {PRODUCTS}", f"Host: {host}"), 400, "unknown_host")
        for host in ("127.0.0.1 x", "127.0.0.1/x", "\xe9")
    ),
    case("HTTP/1.0 without a Host", request(f"GET {PRODUCTS} HTTP/1.0", "Host: none"), 200),
    case("HTTP/1.0", request(f"GET {PRODUCTS} HTTP/1.0"), 200),
    case("HTTP/1.9 is HTTP/1.1", request(f"GET {PRODUCTS} HTTP/1.9"), 200),
    case("another protocol", request(f"GET {PRODUCTS} HTTPS/1.1"), 400, "malformed_request"),
    case("TLS without TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "malformed_request"),
    case("an empty line before the request", b"\r\n" + request(f"GET {PRODUCTS}"), 200),
    *(
        case(f"the header line {line!r}", request(f"GET {PRODUCTS}", line), 400, "malformed_request")
        for line in ("X-A", "X-A : b", ": b", "X-A: b\0c", "X-A: b\x01c", "X-\xc4: b", "X(A): b")
    ),
    case(
        "a header on two lines",
        request(f"GET {PRODUCTS}", "X-A: a\r\n b"),
        400,
        "malformed_request",
        unmet={"gateway": "Envoy replaces the fold by a space, which RFC 9112, 5.2 allows a proxy."},
    ),
    case("a header that is not UTF-8", request(f"GET {PRODUCTS}", "X-A: b\xff"), 200),
    case("a header with an underscore", request(f"GET {ORDERS}", "X_A: b", TOKEN), 200),
    case("an unknown expectation", request(f"POST {ORDERS}", TOKEN, JSON, "Expect: x", body=b"{}"), 417, "unknown_.*"),
    case(
        "a client that waits",
        request(f"POST {ORDERS}", TOKEN, JSON, "Expect: 100-continue", body=b"{}"),
        400,
        ".*failed",
    ),
    case("a range", request(f"GET {PRODUCTS}", "Range: bytes=0-1"), 200),
    case("a condition that is malformed", request(f"GET {PRODUCTS}", "If-None-Match: x", "If-Modified-Since: x"), 200),
    case("an upgrade", request(f"GET {PRODUCTS}", "Upgrade: websocket", "Connection: close, upgrade"), 200),
]

ID = "0A000AE6:B220_AC110002:01BB"
"""A unique id of HAProxy."""
SAME_ID = {"X-Correlation-ID": ID}
NEW_ID = {"X-Correlation-ID": "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"}

IDS = [
    *(
        case(f"{name} at {path}", request(f"GET {path}", f"{name}: {ID}"), status, code, headers=SAME_ID)
        for name in ("X-Request-ID", "X-Correlation-ID")
        for path, status, code in ((PRODUCTS, 200, ""), ("/nothing", 404, "not_found"), (ORDERS, 401, "token_missing"))
    ),
    *(
        case(f"the id {id_[:9]!r}", request(f"GET {PRODUCTS}", f"X-Correlation-ID: {id_}"), 200, headers=NEW_ID)
        for id_ in ("", "a b", 'a"b', "\xe9", "a" * 129)
    ),
    case(
        "an id that is none, and one",
        request(f"GET {PRODUCTS}", "X-Correlation-ID: a b", f"X-Request-ID: {ID}"),
        200,
        headers=SAME_ID,
    ),
]

PREFLIGHT = (
    "Access-Control-Request-Method: POST",
    "Access-Control-Request-Headers: authorization, baggage, sentry-trace",
)
READABLE = {"Access-Control-Allow-Origin": re.escape(ORIGIN), "Access-Control-Expose-Headers": ".*x-correlation-id.*"}

ORIGINS = [
    case(
        "a preflight",
        request(f"OPTIONS {ORDERS}", f"Origin: {ORIGIN}", *PREFLIGHT),
        200,
        headers={
            "Access-Control-Allow-Origin": re.escape(ORIGIN),
            "Access-Control-Allow-Methods": ".*POST.*",
            "Access-Control-Allow-Headers": ".*authorization.*baggage.*sentry-trace.*",
        },
    ),
    case(
        "a preflight of another origin",
        request(f"OPTIONS {ORDERS}", "Origin: https://elsewhere.example", *PREFLIGHT),
        200,
        headers={"Access-Control-Allow-Origin": ""},
    ),
    case("a page of another origin", request(f"GET {PRODUCTS}", f"Origin: {ORIGIN}"), 200, headers=READABLE),
    case(
        "a page of another origin without a token",
        request(f"GET {ORDERS}", f"Origin: {ORIGIN}"),
        401,
        "token_missing",
        headers=READABLE,
    ),
    case(
        "a page of another origin at nothing",
        request("GET /nothing", f"Origin: {ORIGIN}"),
        404,
        "not_found",
        headers=READABLE,
        unmet={"gateway": "Envoy's CORS filter leaves out what the gateway answers itself at paths of no module."},
    ),
]

NO_ID = "01a2232a-bd6d-7cc1-8000-0123456789ab"
LONG_LOCAL = "x" * 65


def registration(name: str, /, **changed: str) -> Case:
    """A registration that is refused for what is changed in it."""
    account = {"email": "x@shop.example", "password": "tectonic plates", "full_name": "Ada"} | changed
    body = json.dumps(account, ensure_ascii=False).encode()
    (field_,) = changed
    return case(name, request("POST /api/v1/accounts", JSON, body=body), 400, "validation_failed", text=f'"#/{field_}"')


TEXTS = [
    case(
        "a member twice",
        request(f"POST {ORDERS}", TOKEN, JSON, body=b'{"lines":[{"sku":"MAP-PANGAEA","quantity":1,"quantity":5}]}'),
        400,
        "malformed_json",
        text=r'the member \\"quantity\\" twice',
    ),
    registration("an address with a zero-width space", email="x@y.example\u200b"),
    registration("an address with a soft hyphen", email="x@exa\u00admple.net"),
    registration("an address with a long local part", email=f"{LONG_LOCAL}@e.example"),
    registration("an address without a local part", email='""@e.example'),
    registration("an address with a label that is no IDNA", email="x@xn--zzzzzz.example"),
    registration("a name that cannot be seen", full_name="\u200b\u200b"),
    registration("a name that turns its text around", full_name="Ada \u202eecalevoL"),
    registration("a name with an escape sequence", full_name="Ada\x1b[2J"),
    registration("a password that cannot be typed again", password="tectonic\u200bplates"),
    case("an id that no order has, in capitals", request(f"GET {ORDERS}/{NO_ID.upper()}", TOKEN), 404, "order_.*"),
    case("an id without hyphens", request(f"GET {ORDERS}/{NO_ID.replace('-', '')}", TOKEN), 404, "not_found"),
    case("an id in braces", request(f"GET {ORDERS}/{{{NO_ID}}}", TOKEN), 404, "not_found"),
    case("an id as a URN", request(f"GET {ORDERS}/urn:uuid:{NO_ID}", TOKEN), 404, "not_found"),
]

LIMITED = {
    "RateLimit-Policy": '"orders:[a-z_]+";q=[0-9]+;w=[0-9]+.*',
    "RateLimit": '"orders:[a-z_]+";r=[0-9]+;t=[0-9]+.*',
    **dict.fromkeys(("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"), ""),
}
"""The module's items come first; the gateway, where there is one, has one of its own."""
LIMITS = [
    case("a limited list", request(f"GET {PRODUCTS}"), 200, headers=LIMITED),
    case(
        "a limited order that is none", request(f"POST {ORDERS}", TOKEN, JSON, body=b"{}"), 400, ".*", headers=LIMITED
    ),
    case("what is not counted", request("GET /nothing"), 404, "not_found", headers={"RateLimit": ""}),
]

ENDS = {
    "Deprecation": "@[0-9]+",
    "Sunset": "[A-Z][a-z]{2}, .* GMT",
    "Link": '.*</api/v2/orders>; rel="successor-version".*</deprecations/api/v1/orders>; rel="deprecation".*',
}
VERSIONS_OF_ORDERS = r'"versions": ?\["v1", ?"v2"\]'
VERSIONS = [
    case("orders in version 1", request(f"GET {ORDERS}", TOKEN), 200, headers=ENDS),
    case("an order of version 1 that is not there", request(f"GET {ORDERS}/{NO_ID}", TOKEN), 404, ".*", headers=ENDS),
    case("orders in version 1 without a token", request(f"GET {ORDERS}"), 401, "token_missing", headers=ENDS | BEARER),
    case("a method that version 1 has not", request(f"DELETE {ORDERS}", TOKEN), 405, ".*", headers=ENDS),
    case("orders in version 2", request("GET /api/v2/orders", TOKEN), 200, headers={"Deprecation": "", "Sunset": ""}),
    case("the page about the end of version 1", request("GET /deprecations/api/v1/orders"), 200, text='"sunset"'),
    case("a page about no end", request("GET /deprecations/api/v2/orders"), 404, "not_found"),
    *(
        case(f"{line} in no version", request(line), 404, "unknown_version", text=VERSIONS_OF_ORDERS)
        for line in ("GET /api/v9/orders", f"POST /api/v0/orders/{NO_ID}/cancel", "GET /api/v1.1/%6frders?x=y")
    ),
    *(
        case(f"{path} in no version", request(f"GET {path}"), 404, "unknown_version", text=r'"versions": ?\["v1"\]')
        for path in ("/api/v2/products", "/bff/v9", "/bff/v9/home", "/bff/v2/nothing", "/api/v2/accounts/me")
    ),
    *(case(f"{path} is nothing", request(f"GET {path}"), 404, "not_found") for path in ("/api/v9/x", "/api/v9")),
]

TAG = '"[1-9][0-9]*-[0-9a-f]{16}"'
ME = "/api/v1/accounts/me"
NAME = b'{"full_name": "Ada"}'
CONDITIONS = [
    case(
        "an account that the caller has",
        request(f"GET {ME}", TOKEN, "If-None-Match: *"),
        304,
        headers={"ETag": TAG, "Cache-Control": "private, no-cache", "Vary": ".*Authorization.*", "Content-Type": ""},
    ),
    case("an account", request(f"GET {ME}", TOKEN, 'If-None-Match: "1"'), 200, headers={"ETag": TAG}),
    case(
        "a change of another state",
        request(f"PATCH {ME}", TOKEN, JSON, 'If-Match: "987654321"', body=NAME),
        412,
        "precondition_failed",
    ),
    case(
        "a condition that is malformed",
        request(f"PATCH {ME}", TOKEN, JSON, "If-Match: 1", body=NAME),
        400,
        "precondition_malformed",
    ),
    case(
        "a cancellation without its condition",
        request(f"POST /api/v2/orders/{NO_ID}/cancel", TOKEN, "Idempotency-Key: a", "Content-Length: 0"),
        428,
        "precondition_required",
    ),
    case(
        "a page of products", request(f"GET {PRODUCTS}"), 200, headers={"Link": '</api/v1/products.*>; rel="first".*'}
    ),
    case(
        "a cursor of another list",
        request(f"GET {PRODUCTS}&cursor=a.b"),
        400,
        "validation_failed",
        text="invalid_cursor",
    ),
    case(
        "a filter that does not exist",
        request("GET /api/v2/orders?stat=placed", TOKEN),
        400,
        "validation_failed",
        text="unknown_parameter",
    ),
]

CASES = [
    *CONDITIONS,
    *TEXTS,
    *LIMITS,
    *VERSIONS,
    *KEYS,
    *ACCEPT,
    *BODIES,
    *METHODS,
    *AUTHORIZATION,
    *LENGTHS,
    *TARGETS,
    *HEADERS,
    *IDS,
    *ORIGINS,
]
