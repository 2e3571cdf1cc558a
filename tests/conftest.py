"""Shared by tests that start real processes: a failure is reported with the ends of their logs."""

from collections.abc import Generator, Iterator

import pytest

from tests import rabbit_node
from tests.processes import Workspace


@pytest.fixture(scope="session")
def managed_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rabbit_node.Node]:
    """This run's own RabbitMQ node, with the management API. Its start takes seconds, so it is for `full` tests."""
    with rabbit_node.for_a_test(tmp_path_factory.mktemp("rabbit"), management=True) as node:
        yield node


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of each process's log to the report of a test that failed."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            space = getattr(value, "workspace", value)
            if isinstance(space, Workspace):
                # A restarted process continues the same log.
                tails = {process.name: process.tail for process in space.processes}
                report.sections.extend((f"log of {name}", tail) for name, tail in tails.items())
    return report
