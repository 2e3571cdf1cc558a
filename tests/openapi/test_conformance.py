"""The server does what its documents promise, and refuses what they exclude: schemathesis, with all its checks."""

import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pangaea import modules
from pangaea.testing.databases import scratch_database
from tests.acceptance import topologies
from tests.acceptance.shop import Customer, Shop
from tests.openapi import node
from tests.openapi.conformance import Examination, Failure, Report
from tests.openapi.documents import documents

pytestmark = pytest.mark.full

SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "tests.openapi.settings",
    "LOG_LEVEL": "WARNING",
    # A run sends more requests than a customer.
    "QUOTA_FACTOR": "10000",
    "LOG_IN_FAILURES": "1000000",
    "LOG_IN_FAILURES_OF_ACCOUNT": "1000000",
    "LOG_IN_FAILURES_OF_NETWORK": "1000000",
}
TABLE: dict[str, list[dict[str, Any]]] = tomllib.loads((node.FOLDER / "exceptions.toml").read_text())
EXCEPTIONS, UNREACHED = TABLE.get("exception", []), TABLE.get("unreached", [])
ONCE = ("--phases=examples,coverage,fuzzing", "--max-examples=20")
"""Fewer examples: without a token almost every answer is the same."""
ANONYMOUS, ACROSS_MODULES = "without a token", "across modules"


@pytest.fixture(scope="module")
def base_url(postgres_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a monolith on PostgreSQL, with limits that a run does not meet."""
    folder = tmp_path_factory.mktemp("monolith")
    with (
        scratch_database(postgres_url, prefix="pangaea_conformance") as database_url,
        topologies.monolith(
            folder, name="monolith", database_url=database_url, broker_url=amqp_url, settings=SETTINGS
        ) as monolith,
    ):
        yield monolith.base_url


@pytest.fixture(scope="module")
def reports(base_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Report]]:
    """What each run found. All run at once: one per module's document, and two of the whole document."""
    folder = tmp_path_factory.mktemp("reports")
    whole = f"{base_url}/api/schema/"
    with Shop(base_url) as shop, ExitStack() as stack:

        def examine(name: str, address: str, *options: str, with_token: bool = True) -> Examination:
            # Each run has a customer of its own, whom it changes, with an order.
            customer = stack.enter_context(Customer.register(shop, full_name="Alfred Wegener"))
            order_id = customer.place(("ATLAS-01", 1))["id"]
            customer.page(order_id)
            examination = Examination(
                address,
                folder / name,
                *options,
                values={"email": customer.email, "order_id": order_id},
                token=customer.token if with_token else None,
            )
            stack.callback(examination.stop)
            return examination

        running = {label: examine(label, f"{whole}{label}/") for label in modules.labels()} | {
            ACROSS_MODULES: examine(ACROSS_MODULES, whole, "--phases=stateful", "--max-examples=50"),
            ANONYMOUS: examine(ANONYMOUS, whole, *ONCE, with_token=False),
        }
        yield {name: examination.report() for name, examination in running.items()}


def excused(failure: Failure) -> list[dict[str, Any]]:
    """The exceptions that a failure matches."""
    return [
        each
        for each in EXCEPTIONS
        if (each["check"], each["operation"]) == (failure.check, failure.operation)
        and set(failure.codes) <= set(each["codes"])
    ]


class TestTheServer:
    def test_does_what_every_document_promises(self, reports: dict[str, Report]) -> None:
        found = {
            # One of each kind is enough to read.
            (name, failure.check, failure.operation, failure.codes): f"{name}: {failure}"
            for name, report in reports.items()
            for failure in report.failures
            if not excused(failure)
        }
        assert "\n\n".join(found.values()) == ""

    def test_is_examined_without_errors(self, reports: dict[str, Report]) -> None:
        assert [error for report in reports.values() for error in report.errors] == []

    def test_accepts_a_request_for_every_operation(self, reports: dict[str, Report]) -> None:
        """Otherwise the runs had shown nothing of the operation but how it refuses."""
        accepted = {
            operation
            for report in reports.values()
            for operation, statuses in report.statuses.items()
            if any(200 <= status < 300 for status in statuses)
        }
        every = {f"{method.upper()} {path}" for path, item in documents()["whole"]["paths"].items() for method in item}
        assert every - accepted == {each["operation"] for each in UNREACHED}


class TestTheExceptions:
    def test_are_all_needed(self, reports: dict[str, Report]) -> None:
        matched = [
            exception for report in reports.values() for failure in report.failures for exception in excused(failure)
        ]
        assert [each for each in EXCEPTIONS if each not in matched] == []

    def test_have_a_reason_and_an_issue(self) -> None:
        assert all({*each} == {"check", "operation", "codes", "reason", "upstream"} for each in EXCEPTIONS)
        assert all({*each} == {"operation", "reason"} for each in UNREACHED)
