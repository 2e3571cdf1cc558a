"""Every URL of this process, with every method: no 500, no HTML from an API, no problem document that is invalid.

Every answer has a Cache-Control that is right for what it holds.
"""

import json
import re
from collections.abc import Iterator
from http import HTTPMethod
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from openapi_schema_validator import OAS31Validator

from pangaea.api.openapi.problems import SCHEMA as PROBLEM
from pangaea.api.problems import CONTENT_TYPE
from pangaea.ops.models import Operator

pytestmark = pytest.mark.django_db(databases="__all__")
METHODS = (*HTTPMethod, "BREW")
SAMPLES = {"id": "01A2232A-BD6D-7CC1-8000-000000000000", "int": "1", "path": "1/x", "slug": "orders", "str": "A"}
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Accept": "text/html;q=0, nonsense"},
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/json", "Content-Encoding": "br"},
    {
        "Authorization": "bearer \xff",
        "Cookie": "sessionid=\x80; =;",
        "Range": "bytes=9-1",
        "If-Match": '"',
        "Origin": "[",
    },
)


def urls(resolver: Any, prefix: str = "") -> Iterator[str]:
    """Each URL with a sample for each of its parts."""
    for each in resolver.url_patterns:
        route = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from urls(each, route)
        elif isinstance(each, URLPattern):
            route = re.sub(r"\(\?P<\w+>[^)]*\)", SAMPLES["str"], re.sub(r"\^|\$|\\Z", "", route))
            yield "/" + re.sub(r"<(?:(\w+):)?\w+>", lambda part: SAMPLES[part[1] or "str"], route)


OF_THE_ADMIN = sorted({url for url in urls(get_resolver()) if url.startswith("/admin/")})
OTHERS = sorted({url for url in urls(get_resolver()) if not url.startswith("/admin/")})


def is_kept_rightly(response: Any, url: str) -> bool:
    """Whether Cache-Control lets only those caches keep the answer that may."""
    directives = response.headers.get("Cache-Control", "").split(", ")
    if response.status_code >= 400:
        return "no-store" in directives
    if directives == ["no-cache"]:
        return url == "/" or url.startswith(("/problems/", "/deprecations/"))
    if "public" in directives:
        return url.startswith(("/api/v1/products", "/.well-known/", "/static/"))
    return "no-store" in directives or (directives == ["private", "no-cache"] and "ETag" in response.headers)


def verify(response: Any, *, method: str, url: str) -> None:
    """Raise AssertionError for an answer that no API gives."""
    assert response.status_code < 500, response.content
    assert is_kept_rightly(response, url), (method, url, response.headers)
    if response.status_code < 400:
        return
    assert response.headers["Content-Type"] == CONTENT_TYPE, response.content
    assert (response.status_code != 405) or response.headers["Allow"]
    if method == "HEAD":
        return
    document = json.loads(response.content)
    assert [error.message for error in OAS31Validator(dict(PROBLEM)).iter_errors(document)] == []
    assert (document["status"], document["code"] == "permission_denied") == (response.status_code, False), document


class TestAnyone:
    @pytest.mark.parametrize("url", [*OTHERS, "/nothing", "/static/pangaea/documents.js", "/livez", "/readyz"])
    def test_gets_an_answer_of_the_api_from(self, url: str) -> None:
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        for method in METHODS:
            for headers in HEADERS:
                response = client.generic(method, url, b"{" if headers else b"", headers=headers)
                verify(response, method=method, url=url)
                if response.streaming:
                    b"".join(response)


class TestTheAdmin:
    @pytest.fixture
    def operator(self) -> Client:
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        client.force_login(Operator.objects.create_superuser("root"))
        return client

    @pytest.mark.full
    def test_fails_for_no_method(self, operator: Client) -> None:
        for url in OF_THE_ADMIN:
            for method in ("GET", "POST", "OPTIONS", "BREW"):
                response = operator.generic(method, url, headers=HEADERS[1])
                assert response.status_code < 500, (method, url)
                directives = response.headers["Cache-Control"]
                assert "no-store" in directives, (method, url, directives)
