"""ETags and conditions, without a module."""

from typing import Any

import pytest
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import path
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pangaea.api.conditional_requests import (
    Precondition,
    Tag,
    conditional_change,
    conditional_read,
    tagged,
)

pytestmark = pytest.mark.urls(__name__)
THING: dict[str, Any] = {"name": "thing"}
PRESENT = 3


class Thing(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @conditional_read
    def get(self, request: Request) -> Response:
        return tagged(THING, version=PRESENT)

    @conditional_change()
    def patch(self, request: Request, *, precondition: Precondition) -> Response:
        precondition(PRESENT)
        return tagged(THING | {"name": "other"}, version=PRESENT + 1)

    @conditional_change(required=True)
    def put(self, request: Request, *, precondition: Precondition) -> Response:
        precondition(PRESENT)
        return tagged(THING, version=PRESENT + 1)


class ReadModel(Thing):
    @conditional_read
    def get(self, request: Request) -> Response:
        return tagged(THING)


urlpatterns = [path("thing", Thing.as_view()), path("read-model", ReadModel.as_view())]


def answered(method: str, url: str = "/thing", **headers: str) -> HttpResponseBase:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client().generic(method, url, headers=sent)


@pytest.fixture
def tag() -> str:
    return answered("GET").headers["ETag"]


class TestATag:
    def test_names_the_version_and_the_representation(self, tag: str) -> None:
        assert tag.startswith('"3-')
        assert tag == answered("GET").headers["ETag"] == answered("HEAD").headers["ETag"]
        assert answered("PATCH").headers["ETag"].startswith('"4-')

    def test_of_a_read_model_names_the_representation_alone(self, tag: str) -> None:
        assert answered("GET", "/read-model").headers["ETag"] == f'"{tag.partition("-")[2]}'

    @given(st.text(max_size=60))
    def test_is_read_from_any_text_without_an_error(self, text: str) -> None:
        tags = Tag.read(text)
        assert tags is None or all(each.version is None or each.version > 0 for each in tags)

    @pytest.mark.parametrize(
        ("text", "opaque"),
        [
            ('"a"', ["a"]),
            ('W/"a"', ["a"]),
            ('"a", W/"b" ,"c,d"', ["a", "b", "c,d"]),
            ('"a",, "b",', ["a", "b"]),
            ('""', [""]),
            ("a", None),
            ('"a', None),
            ('"a" "b"', None),
            ('w/"a"', None),
            ("", None),
            (",", None),
        ],
    )
    def test_is_one_of_a_list(self, text: str, opaque: list[str] | None) -> None:
        tags = Tag.read(text)
        assert (None if tags is None else [each.opaque for each in tags]) == opaque


class TestARead:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"x" , W/{}', '"a,b",{}', "*"])
    def test_of_what_the_caller_has_is_not_modified(self, tag: str, method: str, form: str) -> None:
        response = answered(method, If_None_Match=form.format(tag))
        assert (response.status_code, b"".join(response)) == (304, b"")
        assert response.headers["ETag"] == tag
        assert response.headers["Cache-Control"] == answered("GET").headers["Cache-Control"]
        assert response.headers["Vary"] == answered("GET").headers["Vary"]
        assert not {"Content-Type", "Content-Length", "Content-Encoding"} & set(response.headers)

    @pytest.mark.parametrize("condition", ['"other"', '"3"', "3", '"', "", "garbage"])
    def test_of_anything_else_is_the_whole_answer(self, condition: str) -> None:
        response = answered("GET", If_None_Match=condition)
        assert response.status_code == 200

    def test_ignores_the_condition_of_changes(self) -> None:
        assert answered("GET", If_Match='"9"').status_code == 200


class TestAChange:
    @pytest.mark.parametrize("form", ["{}", '"9-aa", {}', '"3"', "*", '"3-00"'])
    def test_of_the_state_that_the_caller_knows_is_made(self, tag: str, form: str) -> None:
        assert answered("PATCH", If_Match=form.format(tag)).status_code == 200
        assert answered("PUT", If_Match=form.format(tag)).status_code == 200

    @pytest.mark.parametrize(
        "form", ["W/{}", '"2"', '"other"', '"a,b"', '"03"', '"3-"', '""', '"99999999999999999999"']
    )
    def test_of_another_state_is_refused(self, tag: str, form: str) -> None:
        response: Any = answered("PATCH", If_Match=form.format(tag))
        assert (response.status_code, response.json()["code"]) == (412, "precondition_failed")

    @pytest.mark.parametrize("condition", ["3", '"3', '"3" "4"', ",", "", "*, *"])
    def test_whose_condition_cannot_be_read_is_refused(self, condition: str) -> None:
        response: Any = answered("PATCH", If_Match=condition)
        assert (response.status_code, response.json()["code"]) == (400, "precondition_malformed")

    def test_may_need_a_condition(self) -> None:
        response: Any = answered("PUT")
        assert (response.status_code, response.json()["code"]) == (428, "precondition_required")
        assert answered("PATCH").status_code == 200

    @pytest.mark.parametrize(
        ("condition", "status"), [("*", 412), ('"3"', 412), ('W/"3"', 412), ('"2"', 200), ('"x"', 200)]
    )
    def test_may_exclude_states(self, condition: str, status: int) -> None:
        assert answered("PATCH", If_None_Match=condition).status_code == status
