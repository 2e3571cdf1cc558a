"""The Accept header (RFC 9110, 12.5.1), which can only accept or refuse JSON."""

import pytest
from django.test import Client
from django.urls import path
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pangaea import errors
from pangaea.api.negotiation import accepts_json

pytestmark = pytest.mark.urls(__name__)
ACCEPTED = (
    "",
    " , ",
    "*/*",
    "application/json",
    "APPLICATION/JSON",
    "application/*",
    "text/html, application/json",
    "text/html;q=0.9,*/*;q=0.001",
    "application/json;q=0.1",
    "application/json, */*;q=0",
    "*/*;q=0, application/*",
    "application/*;q=0, application/json",
    "application/json;charset=utf-8",
    "application/json ; version=1 ; q=1.000",
    "application/json;q=0, application/json",
    "application/problem+json",
    "application/problem+json, */*;q=0",
    "nonsense",
    ";;, /, */json",
    "application/json;q=many",
    "application/json;q=2",
)
REFUSED = (
    "text/html",
    "application/xml, text/*",
    "*/*;q=0",
    "*/*;q=0.000",
    "application/json;q=0",
    "application/json; q=0.0",
    "application/json;v=1;q=0",
    "*/*, application/json;q=0",
    "application/*, application/json;q=0",
    "*/*, application/*;q=0",
    "application/problem+json, application/json;q=0",
    "application/problem+json;q=0",
    "application/json-patch+json",
)


class Things(APIView):
    permission_classes: tuple[type[BasePermission], ...] = (AllowAny,)
    effects: int = 0

    def get(self, request: Request) -> Response:
        raise errors.NotFound("no_things", "There are none.")

    def post(self, request: Request) -> Response:
        type(self).effects += 1
        return Response({}, status=201)


class Mine(Things):
    permission_classes = (IsAuthenticated,)


urlpatterns = [path("things", Things.as_view()), path("mine", Mine.as_view())]


@pytest.fixture
def effects() -> type[Things]:
    Things.effects = 0
    return Things


class TestAClient:
    @pytest.mark.parametrize("accept", ACCEPTED)
    def test_that_accepts_json_gets_its_answer(self, effects: type[Things], accept: str) -> None:
        response = Client().post("/things", data={}, content_type="application/json", headers={"Accept": accept})

        assert (response.status_code, effects.effects) == (201, 1)

    @pytest.mark.parametrize("accept", REFUSED)
    def test_that_refuses_json_has_no_effect(self, effects: type[Things], accept: str) -> None:
        response = Client().post("/things", data={}, content_type="application/json", headers={"Accept": accept})

        assert (response.status_code, response.json()["code"], effects.effects) == (406, "not_acceptable", 0)

    def test_that_accepts_problems_gets_them(self) -> None:
        response = Client().get("/things", headers={"Accept": "application/problem+json"})

        assert (response.status_code, response.json()["code"]) == (404, "no_things")

    def test_without_a_token_is_asked_for_one_first(self) -> None:
        """So does the gateway, which does not read the Accept header."""
        response = Client().get("/mine", headers={"Accept": "text/html"})

        assert (response.status_code, response.json()["code"]) == (401, "token_missing")

    @given(header=st.text(st.sampled_from('aq/*;=,. 01"\t\xff'), max_size=40))
    def test_may_send_anything(self, header: str) -> None:
        assert accepts_json(header) in {True, False}
        assert accepts_json(f"application/json, {header}") or "json;q=0" in header
