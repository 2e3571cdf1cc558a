"""The worker's timer for parked messages, on Celery's pool without a process, so that no job begins."""

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.asynpool import AsynPool
from celery.concurrency.solo import TaskPool
from kombu.asynchronous import Hub

from pangaea.broker import celery_app
from pangaea.broker.retry_timer import RetryTimer


class Clock:
    """A worker's timer, which a test fires."""

    def call_repeatedly(self, _seconds: float, tick: Any, arguments: tuple[Any, ...]) -> None:
        self.tick: Callable[[], None] = lambda: tick(*arguments)


@pytest.fixture
def pool() -> Iterator[Any]:
    make_hub: Any = Hub  # kombu has no types
    hub = make_hub()
    held: Any = AsynPool(processes=0, threads=False)
    held.register_with_event_loop(hub)
    yield held
    held.close()
    hub.close()


@pytest.fixture
def clock(pool: Any) -> Clock:
    return clock_of(pool)


def clock_of(pool: Any) -> Clock:
    app = SimpleNamespace(stopping=threading.Event(), amqp=celery_app.app().amqp)
    clock = Clock()
    worker = SimpleNamespace(app=app, timer=clock, pool=pool)
    RetryTimer(worker).start(worker)
    return clock


class TestATick:
    def test_submits_no_job_while_one_waits(self, pool: Any, clock: Clock) -> None:
        clock.tick()
        clock.tick()
        assert len(pool.outbound_buffer) == 1

    def test_submits_another_job_after_the_pool_has_discarded_one(self, pool: Any, clock: Clock) -> None:
        clock.tick()
        pool.flush()
        clock.tick()
        assert len(pool.outbound_buffer) == 1

    @pytest.mark.django_db(databases="__all__")
    def test_runs_a_job_on_the_pool_of_the_local_profile(self) -> None:
        clock = clock_of(TaskPool(1))
        clock.tick()
        clock.tick()
