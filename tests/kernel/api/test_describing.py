"""What mechanisms add to the operations of the OpenAPI documents."""

import pytest

from pangaea import modules
from pangaea.api import describing
from pangaea.api.describing import Operation
from pangaea.api.openapi import problems
from pangaea.errors import Misconfigured


@pytest.fixture
def operation() -> Operation:
    return {"operationId": "orders_read_thing", "responses": {"200": {"description": "It."}}}


class TestAMechanism:
    def test_adds_problems_to_the_responses_of_their_statuses(self, operation: Operation) -> None:
        describing.add_problems(operation, "out_of_stock", "token_missing", "order_not_cancellable")
        problems.finish(operation, modules.named("orders"))

        codes = {
            status: list(response["content"]["application/problem+json"]["examples"])
            for status, response in operation["responses"].items()
            if status[0] == "4"
        }
        assert codes == {"401": ["token_missing"], "409": ["order_not_cancellable", "out_of_stock"]}
        assert operation.keys() == {"operationId", "responses"}

    def test_adds_headers_to_responses_that_others_add(self, operation: Operation) -> None:
        describing.add_header(operation, "Link", {"schema": {"type": "string"}}, statuses=("2XX", "409"))
        describing.add_header(operation, "X-Any", {"schema": {"type": "string"}}, statuses=("*",))
        describing.add_problems(operation, "out_of_stock", "token_missing")
        problems.finish(operation, modules.named("orders"))

        headers = {status: set(response["headers"]) for status, response in operation["responses"].items()}
        assert headers == {
            "200": {"Link", "X-Any"},
            "401": {"X-Any"},
            "409": {"Link", "X-Any"},
            "default": {"X-Any"},
        }

    def test_replaces_a_parameter_of_the_same_name(self, operation: Operation) -> None:
        for maximum in (10, 100):
            schema = {"type": "integer", "maximum": maximum}
            describing.add_parameter(operation, {"name": "limit", "in": "query", "schema": schema})
        assert [each["schema"]["maximum"] for each in operation["parameters"]] == [100]

    def test_cannot_name_a_code_that_is_not_explained(self, operation: Operation) -> None:
        describing.add_problems(operation, "sold_to_a_friend")
        with pytest.raises(Misconfigured, match=r"orders_read_thing .*sold_to_a_friend.* orders does not explain"):
            problems.finish(operation, modules.named("orders"))
