"""Any schedule of requests, crashes, repeats and expiry ends in one effect per key, or in none."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from django.db import connections
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from pangaea import errors
from pangaea.api import idempotency_records
from pangaea.outbox.models import OutboxMessage
from pangaea.testing import client_for
from tests.kernel.api.things import during, effects, problem, records, send
from tests.kernel.pipeline import SOURCE

pytestmark = [
    pytest.mark.urls("tests.kernel.api.things"),
    pytest.mark.django_db(databases=[SOURCE], transaction=True),
]

callers = st.integers(0, 1)
keys = st.sampled_from(["a", "b"])
numbers = st.integers(1, 2)


class Killed(BaseException):
    """The process ends here. Nothing between the view and the test catches it."""


@dataclass
class Done:
    """What the first request with a key did, and its answer; None once it has expired."""

    number: int
    thing: str
    answer: bytes | None


@dataclass
class InFlight:
    """A request that is held up after its effect, in a thread of its own."""

    scope: tuple[int, str]
    number: int
    outcome: "Future[Any]"
    fate: list[BaseException]
    go: threading.Event


class Schedule(RuleBasedStateMachine):
    """The steps, in an order that hypothesis chooses."""

    pool: ClassVar[ThreadPoolExecutor]
    is_alone: ClassVar[bool]
    """Whether no transaction can begin while another one is open, as on SQLite."""

    def __init__(self) -> None:
        super().__init__()
        OutboxMessage.objects.using(SOURCE).all().delete()
        records().all().delete()
        self.subjects: list[UUID] = [uuid4(), uuid4()]
        self.done: dict[tuple[int, str], Done] = {}
        self.forgotten = 0
        self.in_flight: InFlight | None = None

    @rule(caller=callers, key=keys, number=numbers)
    def send(self, caller: int, key: str, number: int) -> None:
        held = self.in_flight
        if held and held.scope == (caller, key):
            assert problem(self._request(caller, key, number)) == (409, "idempotency_key_in_use")
        elif not (held and self.is_alone):
            self._verify(caller, key, number, self._request(caller, key, number))

    @rule(caller=callers, key=keys, number=numbers)
    def send_and_fail(self, caller: int, key: str, number: int) -> None:
        if self.in_flight or (caller, key) in self.done:
            return

        def fail() -> None:
            raise errors.Conflict("out_of_stock", "None left.")

        with during(fail):
            assert problem(self._request(caller, key, number)) == (409, "out_of_stock")

    @rule(caller=callers, key=keys, number=numbers)
    def begin(self, caller: int, key: str, number: int) -> None:
        """Hold up a request after its effect, before its commit."""
        if self.in_flight or (caller, key) in self.done:
            return
        inside, go, fate = threading.Event(), threading.Event(), list[BaseException]()

        def hold() -> None:
            if threading.current_thread() is threading.main_thread():
                return
            inside.set()
            assert go.wait(60)
            if fate:
                raise fate[0]

        def request() -> Any:
            try:
                with during(hold):
                    return self._request(caller, key, number)
            finally:
                connections.close_all()

        outcome = self.pool.submit(request)
        assert inside.wait(60)
        self.in_flight = InFlight((caller, key), number, outcome, fate, go)

    @rule()
    def commit(self) -> None:
        if held := self._resume():
            self._verify(*held.scope, held.number, held.outcome.result(60))

    @rule()
    def kill(self) -> None:
        if held := self._resume(Killed()):
            assert isinstance(held.outcome.exception(60), Killed)

    @rule()
    def expire(self) -> None:
        if not self.in_flight:
            self._age(timedelta(days=2))
            for each in self.done.values():
                each.answer = None

    @rule()
    def forget(self) -> None:
        if not self.in_flight:
            self._age(timedelta(days=31))
            self.forgotten += len(self.done)
            self.done.clear()

    def teardown(self) -> None:
        self.commit()
        assert effects() == len(self.done) + self.forgotten
        assert records().count() == len(self.done)

    def _request(self, caller: int, key: str, number: int) -> Any:
        return send(client_for(self.subjects[caller]), number, key)

    def _resume(self, fate: BaseException | None = None) -> InFlight | None:
        """Let the request in flight continue, or end in this way."""
        held, self.in_flight = self.in_flight, None
        if held:
            held.fate[:] = [fate] if fate else []
            held.go.set()
        return held

    def _verify(self, caller: int, key: str, number: int, response: Any) -> None:
        first = self.done.get((caller, key))
        if first is None:
            assert (response.status_code, "Idempotent-Replayed" in response.headers) == (201, False)
            self.done[caller, key] = Done(number, response.json()["id"], response.content)
        elif first.number != number:
            assert problem(response) == (422, "idempotency_key_reused")
        else:
            assert response["Idempotent-Replayed"] == "true"
            assert response.json()["id"] == first.thing
            if first.answer is None:
                assert (response.status_code, response.json()["state"]) == (200, "present")
            else:
                assert (response.status_code, response.content) == (201, first.answer)

    def _age(self, age: timedelta) -> None:
        records().update(created_at=timezone.now() - age)
        while idempotency_records.prune(SOURCE).unfinished:
            pass


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


class TestAnySchedule:
    def test_has_one_effect_per_key(self, pool: ThreadPoolExecutor, pytestconfig: pytest.Config) -> None:
        Schedule.pool, Schedule.is_alone = pool, pytestconfig.getoption("--engine") == "sqlite"
        checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
        examples = settings(max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=checks)
        run_state_machine_as_test(Schedule, settings=examples)
