"""Every answer limits what a browser may do with it."""

import pytest
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from pangaea.api import documents
from pangaea.api.content_security import ADMIN_POLICY, HEADER, POLICY
from pangaea.processes.web import refused_requests


def failing(_request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [
    *documents.patterns(public=True, admin_path="admin/"),
    path("failing", failing),
    path("admin/failing", failing),
    path("admin/", admin.site.urls),
]
handler500 = "pangaea.api.fallback.server_error"


def directives(policy: str) -> dict[str, list[str]]:
    return {name: values for name, *values in (each.split() for each in policy.split("; "))}


@pytest.mark.urls(__name__)
class TestThePolicy:
    @pytest.mark.parametrize(
        ("address", "status"),
        [
            ("/livez", 200),
            ("/api/docs/", 200),
            ("/api/schema/", 200),
            ("/nowhere", 404),
            ("/failing", 500),
            ("/static/pangaea/documents.js", 200),
        ],
    )
    def test_is_on_every_answer(self, address: str, status: int) -> None:
        answer = Client(raise_request_exception=False).get(address)
        answer.close()

        assert (answer.status_code, answer.headers[HEADER]) == (status, POLICY)

    def test_is_on_an_answer_that_no_view_gave(self) -> None:
        unknown = Client().get("/", HTTP_HOST="elsewhere.example")

        assert (unknown.status_code, unknown.headers[HEADER]) == (400, POLICY)
        assert f"{HEADER}: {POLICY}".encode() in refused_requests.answer(refused_requests.TOO_SLOW, client="127.0.0.1")

    @pytest.mark.django_db
    @pytest.mark.parametrize(
        ("address", "status"), [("/admin/login/", 200), ("/admin/", 302), ("/admin/no/", 302), ("/admin/failing", 500)]
    )
    def test_of_the_admin_is_wider(self, address: str, status: int) -> None:
        answer = Client(raise_request_exception=False).get(address)

        assert (answer.status_code, answer.headers[HEADER]) == (status, ADMIN_POLICY)

    def test_lets_no_page_run_inline_scripts_or_be_framed(self) -> None:
        for policy in (POLICY, ADMIN_POLICY):
            found = directives(policy)
            scripts = found.get("script-src", found["default-src"])
            assert "'self'" in scripts
            assert "'unsafe-inline'" not in scripts
            assert found["frame-ancestors"] == found["object-src"] == found["base-uri"] == ["'none'"]
        assert "'unsafe-eval'" not in POLICY


class TestThePage:
    def test_of_the_documents_has_no_inline_script_style_or_handler(self) -> None:
        page = Client().get("/api/docs/").content.decode()

        assert page.count("<script") == page.count("<script src=") == 2
        assert "<style" not in page
        assert " style=" not in page
        assert " on" not in page.replace(" only", "")
