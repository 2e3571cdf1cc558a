"""Unavailable servers: the tests that need one are skipped and summarised; in CI they fail."""

import os
from typing import NoReturn

import pytest

PREFIX = "needs "


def unavailable(server: str, why: str, *, remedy: str) -> NoReturn:
    """Skip the test that asks for `server`. With CI=true fail it: a missing server would hide what the test shows."""
    reason = f"{PREFIX}{server}: {why.rstrip('.')}; {remedy}"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def skipped_servers(reports: list[pytest.TestReport]) -> dict[str, int]:
    """The number of skipped tests by the reason that `unavailable` gave.

    It is read from the reports, so that tests in other processes (pytest-xdist) count too.
    """
    counts: dict[str, int] = {}
    for report in reports:
        if isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            if reason.startswith(PREFIX):
                counts[reason] = counts.get(reason, 0) + 1
    return counts
