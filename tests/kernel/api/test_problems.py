"""Every error that leaves the process is a problem document with a stable code."""

import functools
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib import admin
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.test import Client, RequestFactory
from django.urls import path
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings
from rest_framework import exceptions, serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pangaea import errors
from pangaea.api.problems import CONTENT_TYPE, pointer

pytestmark = pytest.mark.urls(__name__)

handler400 = "pangaea.api.fallback.bad_request"
handler403 = "pangaea.api.fallback.permission_denied"
handler404 = "pangaea.api.fallback.not_found"
handler500 = "pangaea.api.fallback.server_error"

RAISED: dict[str, Exception] = {
    "unauthenticated": errors.Unauthenticated("invalid_credentials", "Wrong."),
    "forbidden": errors.Forbidden("customer_deactivated", "No."),
    "not_found": errors.NotFound("order_not_found", "No such order."),
    "conflict": errors.Conflict("out_of_stock", "Only 3 left.", sku="ABC-1", available=3, order=UUID(int=7)),
    "invalid": errors.Invalid("unknown_sku", "No such sku."),
    "too_often": errors.Throttled("throttled", "Wait.", retry_after=timedelta(seconds=4.2)),
    "unavailable": errors.Unavailable("broker at amqp://10.0.0.7 does not answer"),
    "http404": Http404("secret path"),
    "denied": PermissionDenied("secret reason"),
    "suspicious": SuspiciousOperation("secret detail"),
    "throttled": exceptions.Throttled(wait=4.2),
    "django_validation": DjangoValidationError({"name": DjangoValidationError("Too odd.", code="odd")}),
    "bug": RuntimeError("password=hunter2"),
}


class Line(serializers.Serializer[Any]):
    quantity = serializers.IntegerField(min_value=1, max_value=1000)


class Order(serializers.Serializer[Any]):
    note = serializers.CharField(required=False)
    kind = serializers.ChoiceField(choices=["a"], required=False)
    lines = Line(many=True, max_length=2)  # type: ignore[call-arg] # DRF makes a ListSerializer of it


class Public(APIView):
    permission_classes = (AllowAny,)


class Raises(Public):
    def get(self, request: Request, name: str) -> Response:
        raise RAISED[name]


class Orders(Public):
    def post(self, request: Request) -> Response:
        body = Order(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(body.validated_data, status=201)

    def get(self, request: Request) -> Response:
        if "strange" in request.query_params:
            raise exceptions.ValidationError({"strange": ["Do not."]})
        return Response({"fine": True})


class Many(Public):
    def post(self, request: Request) -> Response:
        Line(data=request.data, many=True).is_valid(raise_exception=True)
        return Response()


class Fails(Public):
    def get(self, request: Request, state: str) -> Response:
        with connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'secret' USING ERRCODE = '{state}'; END $$")
        return Response()


def plain(_request: HttpRequest, name: str) -> HttpResponse:
    raise RAISED[name]


def only_post(_request: HttpRequest) -> HttpResponse:
    return HttpResponseNotAllowed(["POST"])


urlpatterns = [
    path("api/v1/raises/<str:name>", Raises.as_view()),
    path("api/v1/orders", Orders.as_view()),
    path("api/v1/many", Many.as_view()),
    path("api/v1/fails/<str:state>", Fails.as_view()),
    path("plain/<str:name>", plain),
    path("only-post", only_post),
    path("admin/raises/<str:name>", plain),
    path("admin/", admin.site.urls),
]


@pytest.fixture(params=[False, True], ids=["deployed", "debug"])
def client(request: pytest.FixtureRequest, settings: Settings) -> Client:
    """A client, once as deployed and once with DEBUG, where Django would show its own pages."""
    settings.DEBUG = request.param
    return Client(raise_request_exception=False)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


@functools.cache
def long_lived_client() -> Client:
    """For tests with many examples: a client builds its middlewares once."""
    return Client(raise_request_exception=False)


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The document of a response, which must be a complete problem document."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == CONTENT_TYPE
    document: dict[str, Any] = json.loads(response.content)
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"] == f"/problems/{code}"
    assert document["title"]
    assert document["detail"]
    assert document["correlation_id"] == response.headers["X-Correlation-ID"]
    return document


def served(environ: dict[str, Any]) -> tuple[str, bytes]:
    """Status and body of an answer of the whole WSGI application."""
    from pangaea.wsgi import application

    statuses: list[str] = []
    body = b"".join(application(environ, lambda status, *_: statuses.append(status)))  # type: ignore[arg-type]
    return statuses[0], body


def post(client: Client, body: bytes | str, content_type: str = "application/json", **extra: Any) -> Any:
    return client.post("/api/v1/orders", data=body, content_type=content_type, **extra)


class TestADomainError:
    @pytest.mark.parametrize("prefix", ["/api/v1/raises/", "/plain/"])
    @pytest.mark.parametrize(
        ("name", "status", "code"),
        [
            ("unauthenticated", 401, "invalid_credentials"),
            ("forbidden", 403, "customer_deactivated"),
            ("not_found", 404, "order_not_found"),
            ("conflict", 409, "out_of_stock"),
            ("invalid", 422, "unknown_sku"),
        ],
    )
    def test_has_its_status_and_code_in_any_view(
        self, client: Client, prefix: str, name: str, status: int, code: str
    ) -> None:
        document = problem(client.get(prefix + name), status, code)
        assert document["instance"] == prefix + name

    def test_shows_its_details_as_members(self, client: Client) -> None:
        document = problem(client.get("/api/v1/raises/conflict"), 409, "out_of_stock")
        assert document["title"] == "Out of stock"
        assert document["detail"] == "Only 3 left."
        assert (document["sku"], document["available"], document["order"]) == ("ABC-1", 3, str(UUID(int=7)))

    def test_challenges_whoever_is_not_known(self, client: Client) -> None:
        assert client.get("/api/v1/raises/unauthenticated").headers["WWW-Authenticate"] == 'Bearer realm="pangaea"'

    def test_refuses_a_code_that_is_not_stable_looking(self) -> None:
        with pytest.raises(ValueError, match="snake_case"):
            errors.Conflict("Out of stock", "No.")

    def test_refuses_details_that_the_document_needs_itself(self) -> None:
        with pytest.raises(ValueError, match="status"):
            errors.Conflict("out_of_stock", "No.", status="sold")


class TestAnUnforeseenError:
    @pytest.mark.parametrize("url", ["/api/v1/raises/bug", "/plain/bug"])
    def test_says_nothing_but_where_to_look(self, client: Client, url: str) -> None:
        response = client.get(url, headers={"X-Correlation-ID": "trace-me"})
        assert problem(response, 500, "internal_error")["correlation_id"] == "trace-me"
        assert b"hunter2" not in response.content
        assert b"Traceback" not in response.content

    @pytest.mark.parametrize("url", ["/api/v1/raises/bug", "/plain/bug"])
    def test_is_logged_once_with_its_traceback(
        self, client: Client, url: str, logged: pytest.LogCaptureFixture
    ) -> None:
        client.get(url)
        records = [record for record in logged.records if record.exc_info]
        assert [record.exc_info[0] for record in records if record.exc_info] == [RuntimeError]

    def test_of_something_busy_is_said_in_the_admin_too(self, client: Client) -> None:
        response = client.get("/admin/raises/unavailable")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert b"10.0.0.7" not in response.content

    def test_keeps_html_for_people_in_the_admin(self, settings: Settings) -> None:
        settings.DEBUG = False
        response = Client().get("/admin/nothing/here", headers={"accept": "text/html"}, follow=False)
        assert response.headers["Content-Type"].startswith("text/html")


class TestAnAnswerOfTheFramework:
    def test_about_an_unknown_path_is_a_problem(self, client: Client) -> None:
        for url in ("/", "/nothing", "/api/v1/orders/", "/api/v9/nothing", "/static/nothing.js"):
            assert problem(client.get(url), 404, "not_found")["instance"] == url

    def test_quotes_the_path(self, client: Client) -> None:
        document = problem(client.get("/caf%C3%A9/%22%3Cb%3E"), 404, "not_found")
        assert document["instance"] == "/caf%C3%A9/%22%3Cb%3E"

    def test_survives_a_path_that_is_not_utf8(self, client: Client) -> None:
        problem(client.get("/api/v1/raises%FF/x"), 404, "not_found")

    @pytest.mark.parametrize("name", ["http404", "denied", "suspicious"])
    @pytest.mark.parametrize("prefix", ["/api/v1/raises/", "/plain/"])
    def test_does_not_repeat_what_was_meant_for_developers(self, client: Client, prefix: str, name: str) -> None:
        response = client.get(prefix + name)
        assert response.status_code in {400, 403, 404}
        problem(response, response.status_code, response.json()["code"])
        assert b"secret" not in response.content

    @pytest.mark.parametrize("url", ["/api/v1/orders", "/only-post"])
    def test_about_a_method_names_those_allowed(self, client: Client, url: str) -> None:
        response = client.delete(url)
        problem(response, 405, "method_not_allowed")
        assert "POST" in response.headers["Allow"]

    def test_about_a_method_nobody_knows_is_no_different(self, client: Client) -> None:
        problem(client.generic("BREW", "/api/v1/orders"), 405, "method_not_allowed")

    def test_about_an_unacceptable_format_is_a_problem(self, client: Client) -> None:
        problem(client.get("/api/v1/orders", headers={"accept": "application/xml"}), 406, "not_acceptable")

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense", ""])
    def test_about_a_foreign_content_type_names_the_right_one(self, client: Client, content_type: str) -> None:
        response = post(client, b'{"lines": []}', content_type)
        problem(response, 415, "unsupported_media_type")
        assert response.headers["Accept"] == "application/json"

    def test_about_too_many_requests_says_when_to_come_again(self, client: Client) -> None:
        response = client.get("/api/v1/raises/throttled")
        problem(response, 429, "throttled")
        assert response.headers["Retry-After"] == "5"

    def test_about_a_foreign_host_is_a_problem(self, client: Client) -> None:
        response = client.get("/api/v1/orders", headers={"host": "evil.example"})
        assert b"evil" not in response.content
        problem(response, 400, "unknown_host")

    def test_to_options_has_no_body_and_names_the_methods(self, client: Client) -> None:
        response = client.options("/api/v1/orders")
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["Allow"] == "GET, POST, HEAD, OPTIONS"

    def test_to_head_has_the_headers_of_get_and_no_body(self, client: Client) -> None:
        fine, missing = client.head("/api/v1/orders"), client.head("/nothing")
        assert (fine.status_code, fine.content) == (200, b"")
        assert (missing.status_code, missing.content) == (404, b"")
        assert missing.headers["Content-Type"] == CONTENT_TYPE

    @pytest.mark.parametrize("url", ["/api/v1/orders", "/nothing", "/livez"])
    def test_to_head_leaves_no_body_for_the_server_to_drop(self, url: str) -> None:
        assert served(RequestFactory().get(url).environ)[1] != b""
        assert served(RequestFactory().head(url).environ)[1] == b""


class TestABody:
    @pytest.mark.parametrize(
        "body",
        [
            b'{"lines": [',
            b"{'lines': []}",
            b"\xff\xfe",
            b'{"note": "\xff", "lines": []}',
            b'{"note": "\\ud800 lone", "lines": []}',
            b'{"lines": NaN}',
            b'{"lines": Infinity}',
            b'{"lines": 1e999}',
            b'{"lines": [{"quantity": 1' + b"0" * 30 + b"}]}",
            b'{"lines": [{"quantity": 1' + b"0" * 5000 + b"}]}",
            b"[" * 100_000,
            b"[" * 900 + b"]" * 900,
            b"\xef\xbb\xbf{}",
            b'{"lines": []} trailing',
            b'{"lines": [], "lines": [1]}',
            b'{"lines": [{"sku": "A", "sku": "B"}]}',
            b'{"lines": [], "\\u006cines": []}',
            b" ",
        ],
        ids=lambda body: repr(body[:24]),
    )
    def test_that_is_no_json_is_refused(self, client: Client, body: bytes) -> None:
        problem(post(client, body), 400, "malformed_json")

    @pytest.mark.parametrize(
        ("body", "member"),
        [
            (b'{"lines": [{"sku": "A", "quantity": 1, "quantity": 5}]}', '"quantity"'),
            (b'{"lines": [], "\\u006cines": []}', '"lines"'),
            (b'{"": 1, "": 2}', '""'),
            (b'{"\\u202e": 1, "\xe2\x80\xae": 2}', '"\\u202e"'),
            (b'{"%s": 1, "%s": 2}' % (b"a" * 1000, b"a" * 1000), '"' + "a" * 60 + '…"'),
        ],
        ids=["in a line", "escaped", "empty", "hidden", "long"],
    )
    def test_with_a_member_twice_is_refused_by_its_name(self, client: Client, body: bytes, member: str) -> None:
        detail = problem(post(client, body), 400, "malformed_json")["detail"]
        assert detail == f"The body is not valid JSON: an object has the member {member} twice."

    @pytest.mark.parametrize("body", [b"[]", b"7", b'"x"', b"null", b"true"])
    def test_that_is_no_object_is_a_mistake_of_the_whole(self, client: Client, body: bytes) -> None:
        (mistake,) = problem(post(client, body), 400, "validation_failed")["errors"]
        assert mistake["pointer"] == "#"

    def test_that_is_empty_lacks_what_is_required(self, client: Client) -> None:
        (mistake,) = problem(post(client, b""), 400, "validation_failed")["errors"]
        assert mistake == {"pointer": "#/lines", "code": "required", "detail": "This field is required."}

    @pytest.mark.parametrize(
        ("body", "mistakes"),
        [
            ({"lines": [{"quantity": 1}, {"quantity": 0}]}, [("#/lines/1/quantity", "min_value")]),
            ({"lines": [{"quantity": 10**9}]}, [("#/lines/0/quantity", "max_value")]),
            ({"lines": [{"quantity": -1}]}, [("#/lines/0/quantity", "min_value")]),
            ({"lines": [{"quantity": "many"}]}, [("#/lines/0/quantity", "invalid")]),
            (
                {"lines": [{"quantity": {}}, {}]},
                [("#/lines/0/quantity", "invalid"), ("#/lines/1/quantity", "required")],
            ),
            ({"lines": [7]}, [("#/lines/0", "invalid")]),
            ({"lines": "x"}, [("#/lines", "not_a_list")]),
            ({"lines": [{"quantity": 1}] * 3}, [("#/lines", "max_length")]),
            ({"lines": [], "note": "a\x00b"}, [("#/note", "null_characters_not_allowed")]),
            ({"lines": [], "kind": "\U0001f600"}, [("#/kind", "invalid_choice")]),
        ],
        ids=lambda value: repr(value)[:40],
    )
    def test_with_mistakes_has_each_pointed_at(
        self, client: Client, body: object, mistakes: list[tuple[str, str]]
    ) -> None:
        document = problem(post(client, json.dumps(body)), 400, "validation_failed")
        assert [(each["pointer"], each["code"]) for each in document["errors"]] == mistakes

    def test_with_thousands_of_mistakes_has_a_hundred_listed(self, client: Client) -> None:
        document = problem(
            client.post("/api/v1/many", [7] * 5000, content_type="application/json"), 400, "validation_failed"
        )
        assert len(document["errors"]) == 100

    def test_that_is_too_large_is_refused(self, client: Client, settings: Settings) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
        problem(post(client, b'{"note": "' + b"x" * 200 + b'"}'), 413, "body_too_large")

    def test_in_chunks_is_told_to_bring_its_length(self, client: Client) -> None:
        problem(
            client.generic("POST", "/api/v1/orders", headers={"transfer-encoding": "chunked"}), 411, "length_required"
        )

    @given(body=st.binary(max_size=64))
    def test_of_any_bytes_never_breaks_the_server(self, body: bytes) -> None:
        assert post(long_lived_client(), body).status_code == 400


class TestAQuery:
    def test_with_a_mistake_has_the_parameter_named(self, client: Client) -> None:
        document = problem(client.get("/api/v1/orders?strange=1"), 400, "validation_failed")
        assert document["errors"] == [{"parameter": "strange", "code": "invalid", "detail": "Do not."}]

    @pytest.mark.parametrize("url", ["/api/v1/orders?x=%00", "/api/v1/raises/%00"])
    def test_with_a_null_character_is_refused_before_it_reaches_a_database(self, client: Client, url: str) -> None:
        problem(client.get(url), 400, "malformed_url")

    def test_with_too_many_fields_is_refused(self, client: Client, settings: Settings) -> None:
        settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 2
        problem(client.get("/api/v1/orders?a=1&b=2&c=3"), 400, "too_many_parameters")


class TestADependencyThatIsAway:
    def test_asks_the_client_to_come_again_and_logs_why(self, client: Client, logged: pytest.LogCaptureFixture) -> None:
        response = client.get("/api/v1/raises/unavailable")
        problem(response, 503, "unavailable")
        assert response.headers["Retry-After"] == "2"
        assert b"10.0.0.7" not in response.content
        assert "10.0.0.7" in logged.text

    @pytest.mark.django_db
    @pytest.mark.parametrize("state", ["40001", "40P01", "55P03", "57014", "57P01", "08006"])
    def test_is_told_apart_by_the_state_that_postgresql_reports(self, client: Client, state: str) -> None:
        self._needs_postgresql()
        response = client.get(f"/api/v1/fails/{state}")
        problem(response, 503, "unavailable")
        assert b"secret" not in response.content

    @pytest.mark.django_db
    @pytest.mark.parametrize("state", ["22003", "23505", "42P01", "P0001"])
    def test_is_not_what_a_bug_looks_like(self, client: Client, state: str) -> None:
        self._needs_postgresql()
        problem(client.get(f"/api/v1/fails/{state}"), 500, "internal_error")

    @staticmethod
    def _needs_postgresql() -> None:
        if connection.vendor != "postgresql":
            pytest.skip("SQLSTATEs are PostgreSQL's")


class TestAPointer:
    def test_escapes_what_a_pointer_and_a_fragment_cannot_hold(self) -> None:
        assert pointer(("a/b", "m~n", "c d", "0")) == "#/a~1b/m~0n/c%20d/0"

    def test_to_the_whole_document_is_empty(self) -> None:
        assert pointer(()) == "#"


class TestTheTableOfErrors:
    def test_covers_every_domain_error(self) -> None:
        from pangaea.api.problems import STATUS_OF

        assert set(errors.DomainError.__subclasses__()) == set(STATUS_OF)

    def test_is_the_tree_at_the_top_of_the_file(self) -> None:
        drawn = Path(errors.__file__).read_text().split('"""')[1]
        for name, value in vars(errors).items():
            if isinstance(value, type) and issubclass(value, Exception):
                assert name in drawn
