"""What topologies answer must agree: the cases of `http_cases`, sent as bytes to every topology."""

import json
import re
import ssl
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pytest
from openapi_schema_validator import OAS31Validator

from pangaea.api import problem_types
from pangaea.api.openapi.problems import SCHEMA as PROBLEM
from pangaea.api.problems import CONTENT_TYPE
from tests.acceptance import raw_http
from tests.acceptance.http_cases import CASES, SERVERS, Case
from tests.acceptance.raw_http import Answer
from tests.acceptance.shop import Customer
from tests.acceptance.topologies import Deployment


class TestARequest:
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_is_answered_alike_in_every_topology(self, deployment: Deployment, customer: Customer, case: Case) -> None:
        answer = send(deployment, customer, case.sent)

        if reason := case.unmet.get(SERVERS[deployment.name]):
            with pytest.raises(AssertionError):
                verify(answer, case)
            pytest.xfail(reason)
        verify(answer, case)


def send(deployment: Deployment, customer: Customer, sent: bytes) -> Answer:
    """The deployment's answer to a request with the gaps of a case."""
    token = customer.headers["authorization"].partition(" ")[2]
    gaps = {b"<host>": urlsplit(deployment.base_url).netloc, b"<token>": token}
    for gap, value in gaps.items():
        sent = sent.replace(gap, value.encode())
    trust = ssl.create_default_context(cafile=str(deployment.authority)) if deployment.authority else None
    return raw_http.send(deployment.base_url, sent, trust=trust)


def verify(answer: Answer, case: Case) -> None:
    """Raise AssertionError for an answer that is not the case's, or an error that is no valid problem document."""
    assert answer.status == case.status, (answer.head, answer.body)
    assert answer.headers.get_all("Cache-Control"), answer.head
    if answer.status >= 400:
        assert answer.headers.get_all("Cache-Control") == ["no-store"], answer.head
    has_body = not case.sent.startswith(b"HEAD ")
    if answer.status >= 400:
        verify_problem(answer, has_body=has_body)
    if answer.status >= 400 and has_body:
        assert re.fullmatch(case.code, json.loads(answer.body)["code"]), answer.body
    for name, pattern in case.headers.items():
        assert re.fullmatch(pattern, answer.headers[name] or "", re.IGNORECASE), (name, answer.head)
    assert re.search(case.text, answer.body.decode()), answer.body


def verify_problem(answer: Answer, *, has_body: bool = True) -> None:
    """Raise AssertionError unless the answer is a problem document as the OpenAPI documents describe it."""
    assert answer.headers.get_all("Content-Type") == [CONTENT_TYPE], answer.head
    if not has_body:
        assert answer.body == b""
        return
    document: dict[str, Any] = json.loads(answer.body)
    assert [error.message for error in _validator().iter_errors(document)] == [], document
    assert (document["status"], document["type"]) == (answer.status, f"/problems/{document['code']}")
    assert problem_types.explain(document["code"]), f"No page explains {document['code']}."


@cache
def _validator() -> OAS31Validator:
    return OAS31Validator(dict(PROBLEM))
