"""Sessions that the server ends while they are idle: they are replaced without a warning, and no lead is lost."""

from collections.abc import Iterator

import pytest
from django.db import OperationalError, close_old_connections, connections

from pangaea.databases import engines, idle
from pangaea.databases.engines.postgresql import direct, sessions
from pangaea.databases.errors import Kind, kind_of
from tests.kernel.pipeline import SOURCE

pytestmark = [
    pytest.mark.django_db(databases=[SOURCE], transaction=True),
    pytest.mark.usefixtures("postgresql_only"),
]


def pid() -> int:
    ((number,),) = engines.of(SOURCE).rows(connections[SOURCE], "SELECT pg_backend_pid()")
    return int(number)


def end_session() -> int:
    """End the session of this thread's connection, as idle_session_timeout does; returns its pid."""
    ended = pid()
    with direct.connect(SOURCE, as_role=False) as administrator:
        administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [ended])
    return ended


@pytest.fixture(autouse=True)
def lasting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections that last, as in a deployment; tests' own end with each request."""
    connections[SOURCE].close()
    monkeypatch.setitem(connections[SOURCE].settings_dict, "CONN_MAX_AGE", 600)
    yield
    connections[SOURCE].close()


class TestAnIdleSession:
    def test_is_replaced_at_the_next_request(self) -> None:
        ended = end_session()
        close_old_connections()  # as Django does when a request begins
        assert pid() != ended

    def test_is_replaced_at_the_next_work_of_a_long_running_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        idle.renew(SOURCE)
        ended = end_session()
        monkeypatch.setattr(idle, "IDLE_AFTER", 0.0)
        idle.renew(SOURCE)
        assert pid() != ended

    def test_is_not_asked_for_between_pieces_of_work_that_follow_closely(self) -> None:
        idle.renew(SOURCE)
        first = pid()
        idle.renew(SOURCE)
        assert connections[SOURCE].health_check_done  # type: ignore[attr-defined] # django-stubs omit it
        assert pid() == first


class TestASessionThatHoldsALock:
    def test_is_not_ended_for_being_idle(self) -> None:
        with sessions.open_session(SOURCE) as session:
            assert session.execute("SHOW idle_session_timeout").fetchone() == ("0",)


class TestErrorsOfADirectConnection:
    def test_are_marked_as_the_aliass(self) -> None:
        with direct.connect(SOURCE) as session:
            (number,) = session.execute("SELECT pg_backend_pid()").fetchone() or (0,)
            with direct.connect(SOURCE, as_role=False) as administrator:
                administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [number])
            with pytest.raises(OperationalError) as caught, direct.marked(SOURCE):
                session.execute("SELECT 1")
        assert kind_of(caught.value, SOURCE) in {Kind.UNAVAILABLE, Kind.BROKEN}
