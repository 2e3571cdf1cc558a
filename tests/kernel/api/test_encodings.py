"""A body is in UTF-8 and not compressed, or it is refused by name: it is never taken for something else."""

import gzip
import json
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

pytestmark = pytest.mark.urls(__name__)
NOTE = '{"note": "é"}'


class Notes(APIView):
    permission_classes = (AllowAny,)

    def post(self, request: Request) -> Response:
        return Response(request.data, status=201)


urlpatterns = [path("notes", Notes.as_view())]


def post(body: bytes, **headers: str) -> Any:
    return Client().post("/notes", data=body, content_type="application/json", headers=headers)


class TestABody:
    @pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "identity, gzip", "deflate, identity", "x", "*"])
    @pytest.mark.parametrize("body", [NOTE.encode(), gzip.compress(NOTE.encode())], ids=["plain", "gzip"])
    def test_with_a_content_coding_is_refused_with_those_accepted(self, coding: str, body: bytes) -> None:
        response = post(body, Content_Encoding=coding)

        assert (response.status_code, response.json()["code"]) == (415, "unsupported_content_coding")
        assert response.headers["Accept-Encoding"] == "identity"

    @pytest.mark.parametrize("coding", ["identity", "Identity", "", "identity,identity", " , identity"])
    def test_without_a_content_coding_is_read(self, coding: str) -> None:
        response = post(NOTE.encode(), Content_Encoding=coding)

        assert (response.status_code, response.json()) == (201, {"note": "é"})

    @pytest.mark.parametrize(
        "charset", ["utf-16", "latin-1", "nonsense", "idna", "bz2_codec", "undefined", '"utf-16"', "", "x" * 20_000]
    )
    def test_in_another_charset_is_refused(self, charset: str) -> None:
        status, answer = served(f"application/json; charset={charset}")

        assert (status[:3], answer["code"]) == ("415", "unsupported_charset")

    @pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "utf8", '"utf-8"', "us-ascii", "utf-8 ; v=1"])
    def test_in_utf8_is_read(self, charset: str) -> None:
        assert served(f"application/json; charset={charset}") == ("201 Created", {"note": "é"})

    @pytest.mark.parametrize(
        ("encoding", "name"),
        [
            ("utf-8-sig", "UTF-8 with a byte order mark"),
            ("utf-16", "UTF-16"),
            ("utf-16-le", "UTF-16-LE"),
            ("utf-16-be", "UTF-16-BE"),
            ("utf-32", "UTF-32"),
            ("utf-32-le", "UTF-32-LE"),
            ("utf-32-be", "UTF-32-BE"),
        ],
    )
    def test_in_another_encoding_is_refused_with_its_name(self, encoding: str, name: str) -> None:
        response = post(NOTE.encode(encoding))

        assert (response.status_code, response.json()["code"]) == (400, "malformed_json")
        assert response.json()["detail"] == (
            f"The body is not valid JSON: it is in {name}; send UTF-8 without a byte order mark."
        )


def served(content_type: str) -> tuple[str, Any]:
    """Status and document of the answer of the whole WSGI application, which reads the charset before Django does."""
    from pangaea.wsgi import application

    environ = RequestFactory().generic("POST", "/notes?strange=%FF", NOTE.encode(), "application/json").environ
    environ["CONTENT_TYPE"] = content_type
    statuses: list[str] = []
    body = b"".join(application(environ, lambda status, *_: statuses.append(status)))  # type: ignore[arg-type]
    return statuses[0], json.loads(body)
