"""Sessions of one's own: the lock of a piece of work that one process does at a time."""

from contextlib import closing

import pytest

from pangaea.databases import sessions
from tests.kernel.pipeline import SOURCE

pytestmark = [
    pytest.mark.django_db(databases=[SOURCE], transaction=True),
    pytest.mark.usefixtures("postgresql_only"),
]


class TestAlone:
    def test_is_one_at_a_time(self) -> None:
        with sessions.alone(SOURCE, "work") as first, sessions.alone(SOURCE, "work") as second:
            assert (first, second) == (True, False)

    def test_is_over_when_it_has_ended(self) -> None:
        with closing(sessions.open_session(SOURCE)) as waiting:
            for _ in range(50):
                with sessions.alone(SOURCE, "work") as alone:
                    assert alone
                assert sessions.try_lock(waiting, "work")
                waiting.execute("SELECT pg_advisory_unlock_all()")
