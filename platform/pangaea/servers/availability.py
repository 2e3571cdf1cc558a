"""What happens to a test whose server is not there: skipped and named in the summary; in CI, failed."""

import os
from typing import NoReturn

import pytest

PREFIX = "needs "


class Unavailable(Exception):
    """A server cannot be had here. The text says why."""


def unavailable(server: str, why: str, *, remedy: str) -> NoReturn:
    """Skip the test that asks for `server`. With CI=true fail it: a missing server would hide what the test shows."""
    reason = f"{PREFIX}{server}: {why.rstrip('.')}; {remedy}"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def skipped_servers(reports: list[pytest.TestReport]) -> dict[str, int]:
    """How many of the skipped tests each missing server accounts for, by the reason that `unavailable` gave.

    Read from the reports, so that it also holds when other processes (pytest-xdist) ran the tests.
    """
    counts: dict[str, int] = {}
    for report in reports:
        if isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            if reason.startswith(PREFIX):
                counts[reason] = counts.get(reason, 0) + 1
    return counts
