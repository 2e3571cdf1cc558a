"""The lock that gives a piece of work to one holder at a time, on both engines."""

from contextlib import closing

import pytest

from pangaea.databases import engines
from pangaea.databases.engines.postgresql import sessions
from tests.kernel.pipeline import SOURCE

pytestmark = pytest.mark.django_db(databases=[SOURCE], transaction=True)


class TestAlone:
    def test_is_one_at_a_time(self) -> None:
        engine = engines.of(SOURCE)
        with engine.alone(SOURCE, "work") as first, engine.alone(SOURCE, "work") as second:
            assert (first, second) == (True, False)

    def test_excludes_only_the_same_work(self) -> None:
        engine = engines.of(SOURCE)
        with engine.alone(SOURCE, "work") as first, engine.alone(SOURCE, "other work") as second:
            assert (first, second) == (True, True)

    @pytest.mark.usefixtures("postgresql_only")
    def test_frees_its_lock_at_exit(self) -> None:
        engine = engines.of(SOURCE)
        with closing(sessions.open_session(SOURCE)) as waiting:
            for _ in range(50):
                with engine.alone(SOURCE, "work") as alone:
                    assert alone
                assert sessions.try_lock(waiting, f"work of {SOURCE}")
                waiting.execute("SELECT pg_advisory_unlock_all()")

    def test_is_free_again_after_an_error(self) -> None:
        engine = engines.of(SOURCE)
        with pytest.raises(ZeroDivisionError), engine.alone(SOURCE, "work"):
            1 / 0  # noqa: B018 - any error
        with engine.alone(SOURCE, "work") as alone:
            assert alone
