"""What every test that starts real processes shares: their logs stand beside a failure."""

from collections.abc import Generator

import pytest

from tests.processes import Workspace


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of each process's log to the report of a test that failed."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            space = getattr(value, "workspace", value)
            if isinstance(space, Workspace):
                # One that was started again goes on in the same log.
                tails = {process.name: process.tail for process in space.processes}
                report.sections.extend((f"log of {name}", tail) for name, tail in tails.items())
    return report
