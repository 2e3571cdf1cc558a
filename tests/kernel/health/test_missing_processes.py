"""A command that waits for another process names the one that is missing, and the command that starts it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from django.db import connections
from kombu import Consumer
from pytest_django import Settings

from pangaea import modules
from pangaea.broker import celery_app, topology
from pangaea.databases import engines
from pangaea.health import missing_processes
from pangaea.testing import free_port

ALIAS = modules.labels()[0]
NO_RELAY = f"No relay of {ALIAS} is running: start one with `manage.py relay --module {ALIAS}`."

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("postgresql_only")]


@pytest.fixture
def declared(amqp_url: str, settings: Settings) -> Iterator[None]:
    settings.PANGAEA = replace(settings.PANGAEA, broker_url=amqp_url, broker_prefix="missing.")
    celery_app.app.cache_clear()
    topology.declare(celery_app.app())
    yield
    celery_app.app().close()
    celery_app.app.cache_clear()


@pytest.mark.usefixtures("declared")
class TestForReplay:
    def test_names_worker_and_relays_that_do_not_run(self) -> None:
        text = missing_processes.for_replay(ALIAS, [ALIAS, "elsewhere"])
        assert f"start one with `manage.py worker --module {ALIAS}`." in text
        assert NO_RELAY in text
        assert "Is a relay of elsewhere running?" in text

    def test_names_none_of_those_that_run(self) -> None:
        app = celery_app.app()
        queues = [queue for name, queue in app.amqp.queues.items() if topology.module_of_queue(name) == ALIAS]
        with (
            closing(engines.of(ALIAS).relay_session(ALIAS)) as session,
            app.connection_for_read() as connection,
            Consumer(connection, queues=queues),  # type: ignore[no-untyped-call] # kombu has no types
        ):
            assert session.election.lead()
            text = missing_processes.for_replay(ALIAS, [ALIAS])
            elsewhere = missing_processes.for_replay(ALIAS, ["elsewhere"])
        assert elsewhere.startswith(f"A worker of {ALIAS} is connected. Is a relay of elsewhere running?")
        assert text == f"A worker of {ALIAS} and the relays that it needs are running."


class TestForRelay:
    def test_reports_a_database_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, broker_url="amqp://guest:guest@127.0.0.1//")
        monkeypatch.setitem(connections[ALIAS].settings_dict, "PORT", str(free_port()))
        assert missing_processes.for_relay(ALIAS).startswith(f"The relay of {ALIAS} cannot be looked for (")


class TestForWorker:
    def test_reports_a_broker_that_does_not_answer(self, settings: Settings) -> None:
        url = f"amqp://guest:guest@127.0.0.1:{free_port()}//"
        settings.PANGAEA = replace(settings.PANGAEA, broker_url=url)
        celery_app.app.cache_clear()
        try:
            assert missing_processes.for_worker(ALIAS).startswith("The broker does not answer")
        finally:
            celery_app.app.cache_clear()

    def test_names_runserver_where_all_is_one_process(self) -> None:
        assert "manage.py runserver" in missing_processes.for_worker(ALIAS)
