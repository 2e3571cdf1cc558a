"""The consequences of a failure of the message itself, of its module's database, or of another server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
import structlog
from django.db import DatabaseError, OperationalError, connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.test import RequestFactory
from pytest_django import Settings

from pangaea import modules
from pangaea.api.problems import respond
from pangaea.databases import errors, idle, outages
from pangaea.databases.errors import Kind
from pangaea.inbox import consume
from pangaea.inbox.dead_letters import redrive
from pangaea.inbox.dead_letters.selection import Selection
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.inbox.subscriptions import Projection
from pangaea.messages import Received
from pangaea.outbox.relay import partition_of
from pangaea.testing import free_port
from tests.kernel.failing import (
    DEADLOCK,
    FULL,
    NO_COLUMN,
    READ_ONLY,
    TIME_OUT,
    break_connection,
    fail_at_commit_by,
    fail_by,
    read_only,
)
from tests.kernel.failing import unreachable as unreachable_alias
from tests.kernel.parked import NEIGHBOUR
from tests.kernel.pipeline import LISTENER, SOURCE, Tick, Wire, say

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)

WAIT_LIMIT = timedelta(seconds=0.4)
calls: list[int] = []
applied: list[int] = []
trouble: dict[int, Callable[[], None]] = {}
failing, beside = Projection("web_bff.failing"), Projection("web_bff.beside")


@failing.on(Tick)
def fail(message: Received[Tick]) -> None:
    number = message.payload.number
    calls.append(number)
    trouble.get(number, lambda: None)()


@beside.on(Tick)
def note(message: Received[Tick]) -> None:
    applied.append(message.payload.number)


@pytest.fixture(autouse=True)
def subscribed(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[None]:
    here = __name__
    monkeypatch.setattr(modules.named(LISTENER), "subscriptions", (f"{here}.failing", f"{here}.beside"))
    settings.PANGAEA = replace(settings.PANGAEA, transient_retry=WAIT_LIMIT)
    for each in (calls, applied, trouble):
        each.clear()
    yield
    connections[LISTENER].close()
    errors.forget_refusals()
    outages.forget()


@pytest.fixture
def patient(settings: Settings) -> None:
    """Enough time for every try, however busy the machine is."""
    settings.PANGAEA = replace(settings.PANGAEA, transient_retry=timedelta(seconds=30))


def send(wire: Wire) -> None:
    while wire.relay.step():
        pass


def deliver(wire: Wire) -> None:
    """Relay the published messages and apply them, as a worker does."""
    send(wire)
    for outgoing in wire.batches:
        consume.receive(LISTENER, outgoing.body)


def parked() -> list[str]:
    return list(DeadLetter.objects.using(LISTENER).order_by("position").values_list("key", flat=True))


def head(subscription: str = "web_bff.failing") -> int:
    return Cursor.objects.using(LISTENER).get(subscription=subscription, partition=partition_of("a")).head


def unreachable() -> None:
    psycopg.connect(f"postgresql://127.0.0.1:{free_port()}/nowhere")


class TestAnotherServerThatIsAway:
    @pytest.mark.parametrize("reach", [unreachable, lambda: fail_by(DEADLOCK, SOURCE)], ids=["psycopg", "alias"])
    def test_is_its_messages_failure_alone(self, wire: Wire, reach: Callable[[], None]) -> None:
        trouble[1] = reach
        say("a", 1)
        say(NEIGHBOUR, 2)
        deliver(wire)
        assert parked() == ["a"]
        assert applied == [1, 2]
        assert calls[-1] == 2
        assert calls.count(1) == 2


class TestTheModulesOwnDatabase:
    def test_that_conflicts_for_a_while_is_waited_for(self, wire: Wire, patient: None) -> None:
        trouble[1] = lambda: fail_by(DEADLOCK) if len(calls) < 3 else None
        say("a", 1)
        deliver(wire)
        assert calls == [1, 1, 1]
        assert parked() == []

    def test_that_conflicts_for_ever_costs_one_key_and_one_wait(self, wire: Wire) -> None:
        trouble[1] = trouble[3] = lambda: fail_by(DEADLOCK)
        say("a", 1)
        say(NEIGHBOUR, 2)
        say("a", 3, 4)
        deliver(wire)
        assert parked() == ["a", "a", "a"]
        assert applied == [1, 2, 3, 4]

    def test_is_waited_for_once_for_all_parts(self, wire: Wire) -> None:
        keys = [key for key in map(str, range(200)) if partition_of(key) == partition_of("a")][:9]
        for number, key in enumerate(keys):
            trouble[number] = lambda: fail_by(DEADLOCK)
            say(key, number)
        deliver(wire)
        assert len(parked()) == 9
        # The first message uses up the retry time together with all others; then each of them is tried once, alone.
        assert [calls.count(number) for number in range(1, 9)] == [1] * 8

    def test_that_times_out_is_asked_three_times(self, wire: Wire, patient: None, postgresql_only: None) -> None:
        trouble[1] = lambda: fail_by(TIME_OUT)
        say("a", 1)
        say(NEIGHBOUR, 2)
        deliver(wire)
        assert calls.count(1) == 3
        assert parked() == ["a"]
        assert applied == [1, 2]

    def test_whose_connection_breaks_at_a_message_is_tried_three_times(
        self, wire: Wire, patient: None, postgresql_only: None
    ) -> None:
        def fail() -> None:
            break_connection()
            fail_by(DEADLOCK)

        trouble[1] = fail
        say("a", 1)
        say(NEIGHBOUR, 2)
        deliver(wire)
        assert calls.count(1) == 3
        assert parked() == ["a"]
        assert applied == [1, 2]

    def test_that_may_not_be_written_parks_nothing(self, wire: Wire, postgresql_only: None) -> None:
        say("a", 1)
        send(wire)
        with read_only(LISTENER), structlog.testing.capture_logs() as logs:
            for outgoing in wire.batches:
                consume.receive(LISTENER, outgoing.body)
            assert parked() == []
            assert calls == []
        assert [each["event"] for each in logs if each["log_level"] in {"warning", "error"}] == ["database lost"]
        with structlog.testing.capture_logs() as logs:
            deliver(wire)
        assert [each["event"] for each in logs if each["event"].startswith("database")] == ["database recovered"]
        assert applied == [1]

    def test_that_is_written_again_is_no_outage_on_a_connection_from_before(
        self, wire: Wire, patient: None, postgresql_only: None
    ) -> None:
        say("a", 1)
        send(wire)
        idle.renew(LISTENER)
        with connections[LISTENER].cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        with structlog.testing.capture_logs() as logs:
            for outgoing in wire.batches:
                consume.receive(LISTENER, outgoing.body)
        assert applied == [1]
        assert [each["event"] for each in logs if each["log_level"] == "warning"] == []

    def test_that_may_not_be_written_ends_a_redrive(self, wire: Wire) -> None:
        trouble[1] = trouble[2] = unreachable
        say("a", 1)
        say(NEIGHBOUR, 2)
        deliver(wire)
        letters = DeadLetter.objects.using(LISTENER).order_by("position")
        before = list(letters.values_list("key", "attempts"))
        trouble[1] = trouble[2] = lambda: fail_by(READ_ONLY)
        calls.clear()
        with pytest.raises(DatabaseError):
            list(redrive.redrive(Selection(module=LISTENER), [failing]))
        assert len(calls) == 1
        assert list(letters.values_list("key", "attempts")) == before


class TestABatchGivenUp:
    def test_leaves_its_head_so_that_lag_is_true(self, wire: Wire) -> None:
        # A letter at the position of the next message: this subscription can neither apply nor park it.
        DeadLetter.objects.using(LISTENER).create(
            subscription="web_bff.failing", source=SOURCE, audience="all", partition=partition_of("a"), position=1
        )
        trouble[1] = unreachable
        say("a", 1)
        deliver(wire)
        assert head() == 1
        assert applied == [1]


class TestAMigrationThatIsNotApplied:
    @pytest.mark.parametrize("ahead", ["code", "database"])
    def test_parks_nothing_of_what_fails_by_it(self, wire: Wire, ahead: str) -> None:
        trouble[1] = lambda: fail_by(NO_COLUMN)
        say("a", 1)
        with migrations_differ(ahead), structlog.testing.capture_logs() as logs:
            deliver(wire)
            assert parked() == []
        assert any("migrat" in str(each.get("error")) for each in logs if each["event"] == "batch given up")
        assert applied == [1]
        assert head() == 1

    def test_is_no_reason_to_wait_where_all_are_applied(self, wire: Wire) -> None:
        trouble[1] = lambda: fail_by(NO_COLUMN)
        say("a", 1)
        deliver(wire)
        assert parked() == ["a"]


@contextmanager
def migrations_differ(ahead: str) -> Iterator[None]:
    """Let the database lack the code's last migration, or have an unknown one, while the context lasts."""
    recorder = MigrationRecorder(connections[LISTENER])
    own = sorted(name for app, name in recorder.applied_migrations() if app == LISTENER)
    name = own[-1] if ahead == "code" else "9999_later"
    there, back = recorder.record_unapplied, recorder.record_applied
    if ahead == "database":
        there, back = back, there
    there(LISTENER, name)
    try:
        yield
    finally:
        back(LISTENER, name)


NOT_NOW = (
    *("08000", "08006", "57P01", "57P02", "57P03", "57P05", "25006", "53000", "53100", "53200", "53300", "53400"),
    *("40001", "40P01", "55P03", "57014", "25P03", "25P04"),
)


def is_503(error: Exception) -> bool:
    response = respond(error, RequestFactory().post("/"))
    return response is not None and response.status_code == 503 and int(response.headers["Retry-After"]) > 0


class TestOverHttp:
    @pytest.mark.parametrize("sqlstate", [DEADLOCK, READ_ONLY, FULL])
    def test_a_transient_error_is_503_with_retry_after(self, sqlstate: str) -> None:
        with pytest.raises(DatabaseError) as caught:
            fail_by(sqlstate)
        assert is_503(caught.value)

    def test_so_is_every_such_error_in_a_statement_and_at_commit(self, postgresql_only: None) -> None:
        for sqlstate in NOT_NOW:
            with pytest.raises(DatabaseError) as caught:
                fail_by(sqlstate)
            assert is_503(caught.value), sqlstate
            with pytest.raises(DatabaseError) as caught, transaction.atomic(using=LISTENER):
                fail_at_commit_by(sqlstate)
            assert is_503(caught.value), sqlstate

    def test_so_is_a_connection_that_is_refused_or_breaks(self, postgresql_only: None) -> None:
        with unreachable_alias(LISTENER), pytest.raises(DatabaseError) as caught:
            connections[LISTENER].ensure_connection()
        assert is_503(caught.value)
        with connections[LISTENER].cursor() as cursor:
            cursor.execute("SELECT 1")
            break_connection()
            with pytest.raises(DatabaseError) as caught:
                cursor.execute("SELECT 1")
        assert is_503(caught.value)

    def test_any_other_error_is_a_mistake_in_the_code(self) -> None:
        with pytest.raises(DatabaseError) as caught:
            fail_by(NO_COLUMN)
        assert respond(caught.value, RequestFactory().post("/")) is None
        assert respond(OperationalError("of another server"), RequestFactory().post("/")) is None


class TestTheKind:
    @pytest.mark.parametrize(
        ("sqlstate", "kind"),
        [
            (DEADLOCK, Kind.CONFLICT),
            (READ_ONLY, Kind.UNAVAILABLE),
            (FULL, Kind.UNAVAILABLE),
            (NO_COLUMN, Kind.OUTDATED),
        ],
    )
    def test_is_the_same_on_every_engine(self, sqlstate: str, kind: Kind) -> None:
        with pytest.raises(DatabaseError) as caught:
            fail_by(sqlstate)
        assert errors.kind_of(caught.value, LISTENER) is kind
        assert errors.kind_of(caught.value) is kind
        assert errors.kind_of(caught.value, SOURCE) is None


class TestTheReason:
    def test_names_the_remedy_for_a_missing_table_in_one_line(self) -> None:
        with pytest.raises(DatabaseError) as caught, connections[LISTENER].cursor() as cursor:
            cursor.execute("SELECT 1 FROM pangaea_nothing")
        reason = errors.reason_of(caught.value)
        assert "pangaea_nothing" in reason
        assert reason.endswith("; `manage.py migrate` creates it, in the database that these settings name")
        assert "\n" not in reason

    def test_is_the_text_of_any_other_error(self) -> None:
        assert errors.reason_of(OperationalError("the disk is full\n")) == "the disk is full"
