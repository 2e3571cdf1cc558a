from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from uuid import UUID

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from pangaea.ids import uuid7

Answering = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def customer_id() -> UUID:
    return uuid7()


@pytest.fixture
def answered_with() -> Answering:
    """A context that fails unless this module's database runs exactly `expected` queries, and no other runs any."""

    @contextmanager
    def queries(expected: int) -> Iterator[None]:
        with ExitStack() as stack:
            asked = {alias: stack.enter_context(CaptureQueriesContext(connections[alias])) for alias in connections}
            yield
        found = {alias: [query["sql"] for query in capture] for alias, capture in asked.items() if len(capture)}
        assert set(found) <= {"web_bff"}, f"other databases were asked: {found}"
        assert len(found.get("web_bff", [])) == expected, found

    return queries
