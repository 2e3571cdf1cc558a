"""The probes of the web process: the answers, and which details they leave to the log."""

import json
import logging
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from pangaea.broker import celery_app
from pangaea.databases import aliases, errors
from pangaea.health import probes, readiness
from pangaea.identity import token_keys
from pangaea.testing import free_port
from tests.kernel.failing import FULL, fail_by, read_only
from tests.kernel.pipeline import LISTENER

DATABASE = pytest.mark.django_db(databases="__all__", transaction=True)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def celery(url: str) -> Any:
    return celery_app.make_app(replace(settings.PANGAEA, broker_url=url))


def checked(url: str = "memory://") -> tuple[bool, Any]:
    return readiness.Readiness(celery=lambda: celery(url)).check()


@contextmanager
def unreachable() -> Iterator[str]:
    """The database of one alias, which is given, refuses connections inside the block."""
    alias = aliases.installed()[-1]
    connection = connections[alias]
    connection.close()
    before = dict(connection.settings_dict)
    if connection.vendor == "postgresql":
        connection.settings_dict |= {"HOST": "127.0.0.1", "PORT": str(free_port()), "PASSWORD": "hunter2"}
    else:
        connection.settings_dict |= {"NAME": "/nowhere/at/all.sqlite3"}
    try:
        yield alias
    finally:
        connection.settings_dict |= before
        connection.close()


@pytest.fixture
def refusals() -> Iterator[None]:
    """Forget refused writes at the end of the test."""
    yield
    errors.forget_refusals()


class TestLivez:
    def test_answers_without_a_check(self) -> None:
        response = Client().get("/livez")
        assert (response.status_code, response.json()) == (200, {"status": "alive"})
        assert response.headers["Cache-Control"] == "no-store"

    def test_answers_to_any_host_name(self) -> None:
        assert Client().get("/livez", headers={"host": "10.1.2.3:8000"}).status_code == 200

    def test_answers_without_tls_where_all_else_needs_it(self, settings: Any) -> None:
        settings.SECURE_SSL_REDIRECT = True
        assert Client().get("/livez").status_code == 200

    def test_answers_head(self) -> None:
        response = Client().head("/livez")
        assert (response.status_code, response.content) == (200, b"")

    @pytest.mark.parametrize("probe", sorted(probes.PROBES))
    def test_changes_nothing(self, probe: str) -> None:
        response = Client().post(probe)
        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
        assert response.headers["Allow"] == "GET, HEAD"


@DATABASE
class TestReadyz:
    def test_shows_the_result_of_every_check(self) -> None:
        response = Client().get("/readyz")
        every = dict.fromkeys(aliases.installed(), "ok")
        assert response.json() == {
            "status": "ready",
            "checks": {
                "database": every,
                "migrations": every,
                "broker": "ok",
                "topology": "ok",
                "disk": "ok",
                "keys": "ok",
            },
        }
        assert response.status_code == 200

    def test_needs_no_token_and_ignores_an_invalid_one(self) -> None:
        assert Client().get("/readyz", headers={"authorization": "Bearer garbled"}).status_code == 200

    def test_names_an_unreachable_database_and_logs_the_reason(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG), unreachable() as alias:
            response = Client().get("/readyz")
        document = response.json()
        assert (response.status_code, document["status"], document["code"]) == (503, 503, "not_ready")
        assert response.headers["Content-Type"] == "application/problem+json"
        assert document["checks"]["database"][alias] == "failing"
        assert document["checks"]["database"][DEFAULT_DB_ALIAS] == "ok"
        for secret in (b"hunter2", b"Traceback", b"127.0.0.1", b"Error", b"nowhere"):
            assert secret not in response.content
        assert "OperationalError" in caplog.text
        assert "hunter2" not in caplog.text
        assert [record for record in caplog.records if record.exc_info] == []

    def test_names_a_database_while_it_is_read_only(
        self, postgresql_only: None, caplog: pytest.LogCaptureFixture
    ) -> None:
        state = readiness.Readiness(celery=lambda: celery("memory://"))
        alias = aliases.installed()[-1]
        with read_only(alias):
            # Also on a connection that was opened before.
            connections[alias].ensure_connection()
            ready, checks = state.check()
            assert not ready
            assert checks["database"] == dict.fromkeys(aliases.installed(), "failing")
            assert "read-only" in caplog.text
        assert state.check()[0]

    @pytest.mark.usefixtures("refusals")
    def test_names_a_database_that_is_full_for_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(DatabaseError):
            fail_by(FULL)
        ready, checks = checked()
        assert not ready
        assert checks["database"] == {**dict.fromkeys(aliases.installed(), "ok"), LISTENER: "failing"}
        monkeypatch.setattr(errors, "REFUSAL_REMEMBERED", 0.0)
        assert checked()[0]

    def test_reports_migrations_of_an_unreachable_database_as_unknown(self) -> None:
        with unreachable() as alias:
            ready, checks = checked()
        assert not ready
        assert checks["migrations"][alias] == "unknown"

    def test_names_a_database_that_lacks_migrations(self) -> None:
        alias = aliases.installed()[-1]
        recorder = MigrationRecorder(connections[alias])
        app, name = max(key for key in recorder.applied_migrations() if key[0] == alias)
        recorder.record_unapplied(app, name)
        try:
            ready, checks = checked()
            assert not ready
            assert checks["migrations"] == {**dict.fromkeys(aliases.installed(), "ok"), alias: "pending"}
        finally:
            recorder.record_applied(app, name)

    def test_checks_migrations_until_they_are_applied(self) -> None:
        state = readiness.Readiness()
        alias = aliases.installed()[-1]
        recorder = MigrationRecorder(connections[alias])
        assert state.check()[0]
        app, name = max(key for key in recorder.applied_migrations() if key[0] == alias)
        recorder.record_unapplied(app, name)
        try:
            assert state.check()[0]
        finally:
            recorder.record_applied(app, name)

    @pytest.mark.parametrize("scheme", ["amqp", "redis"])
    def test_names_a_broker_that_refuses(self, scheme: str) -> None:
        ready, checks = checked(f"{scheme}://127.0.0.1:{free_port()}")
        assert not ready
        assert checks["broker"] == "failing"

    @pytest.mark.parametrize("scheme", ["amqp", "redis"])
    def test_does_not_wait_for_a_broker_that_is_silent(self, scheme: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ready, checks = checked(f"{scheme}://127.0.0.1:{server.getsockname()[1]}")
        assert not ready
        assert checks["broker"] == "failing"

    def test_passes_with_redis(self, redis_url: str) -> None:
        assert checked(redis_url)[0]

    def test_passes_with_rabbitmq(self, amqp_url: str) -> None:
        assert checked(amqp_url)[0]

    def test_reuses_the_brokers_answer_for_a_second(self) -> None:
        clock = Clock()
        urls = ["memory://", f"amqp://127.0.0.1:{free_port()}"]
        state = readiness.Readiness(celery=lambda: celery(urls[0]), clock=clock)
        assert state.check(needs_broker=True)[0]
        del urls[0]
        clock.now += readiness.BROKER_REMEMBERED / 2
        assert state.check(needs_broker=True)[0]
        clock.now += readiness.BROKER_REMEMBERED
        assert not state.check(needs_broker=True)[0]

    def test_of_a_web_process_outlasts_the_broker(self, caplog: pytest.LogCaptureFixture) -> None:
        """It only writes to its outbox; if its probe failed, a restart of the broker would stop all web processes."""
        clock = Clock()
        urls = ["memory://"]
        state = readiness.Readiness(celery=lambda: celery(urls[0]), clock=clock)
        assert state.check()[0]
        urls[0] = f"amqp://127.0.0.1:{free_port()}"
        clock.now += 2 * readiness.BROKER_REMEMBERED
        ready, checks = state.check()
        assert (ready, checks["broker"], checks["topology"]) == (True, "failing", "ok")
        clock.now += readiness.BROKER_REMEMBERED / 2
        assert state.check()[0]
        messages = [record.getMessage() for record in caplog.records if "ready" in record.getMessage()]
        assert [("without its broker" in line) for line in messages] == [False, True]
        assert not state.check(needs_broker=True)[0]

    def test_logs_changes_only(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = Clock()
        urls = ["memory://"]
        state = readiness.Readiness(celery=lambda: celery(urls[0]), clock=clock)
        with caplog.at_level(logging.DEBUG, logger="pangaea.health.readiness"):
            for url in ["memory://", "memory://", f"redis://127.0.0.1:{free_port()}", "memory://"]:
                urls[0] = url
                clock.now += 10
                state.check()
        messages = [record.getMessage() for record in caplog.records if record.name == "pangaea.health.readiness"]
        assert len(messages) == 3

    def test_declares_missing_queues(self, amqp_url: str, settings: Any) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, broker_prefix=f"{secrets.token_hex(4)}.")
        app = celery(amqp_url)
        ready, checks = readiness.Readiness(celery=lambda: app).check()
        assert (ready, checks["topology"]) == (True, "ok")
        with app.connection_for_write() as connection:
            for queue in app.amqp.queues.values():
                assert connection.default_channel.queue_declare(queue.name, passive=True).message_count == 0
                connection.default_channel.queue_delete(queue.name)

    def test_names_queues_that_cannot_be_declared(
        self, amqp_url: str, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, broker_prefix=f"{secrets.token_hex(4)}.")
        app = celery(amqp_url)
        with app.connection_for_write() as connection:
            name = next(iter(app.amqp.queues))
            connection.default_channel.queue_declare(name, exclusive=True)
            ready, checks = readiness.Readiness(celery=lambda: app).check()
            connection.default_channel.queue_delete(name)
        assert (ready, checks["topology"], checks["broker"]) == (False, "failing", "ok")
        assert "RESOURCE_LOCKED" in caplog.text

    def test_names_a_disk_that_is_full(self, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, disk_free_at_least=10**9)
        ready, checks = checked()
        assert (ready, checks["disk"]) == (False, "failing")
        assert "DISK_FREE_AT_LEAST is 1000000000" in caplog.text

    def test_is_not_ready_without_keys_to_verify_with(self, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
        url = f"http://127.0.0.1:{free_port()}/jwks.json"
        settings.PANGAEA = replace(settings.PANGAEA, signing_key="", jwks_url=url)
        ready, checks = checked()
        assert (ready, checks["keys"]) == (False, "failing")
        assert f"{url} gives no keys" in caplog.text
        assert readiness.Readiness(celery=lambda: celery("memory://")).check(verifies_tokens=False)[0]

    def test_fetches_the_keys_that_it_lacks_and_keeps_them(self, settings: Any) -> None:
        published = json.dumps(token_keys.public_jwks()).encode()
        with key_source(published) as url:
            settings.PANGAEA = replace(settings.PANGAEA, signing_key="", jwks_url=url)
            assert checked()[0]
        assert checked()[0]

    def test_is_not_ready_from_the_moment_it_is_stopped(self) -> None:
        state = readiness.Readiness(celery=lambda: celery("memory://"))
        assert state.check()[0]
        state.stop()
        assert state.check() == (False, {"process": "stopping"})


@contextmanager
def key_source(document: bytes) -> Iterator[str]:
    """Hold an HTTP server that answers with this document; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/jwks.json"
        finally:
            server.shutdown()
            thread.join()


@DATABASE
class TestStartupz:
    def test_keeps_answering_200_after_the_first_success(self) -> None:
        assert Client().get("/startupz").status_code == 200
        with unreachable():
            assert Client().get("/readyz").status_code == 503
            assert Client().get("/startupz").json() == {"status": "started"}
