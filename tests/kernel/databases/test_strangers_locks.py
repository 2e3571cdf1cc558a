"""Any login of a database can take any advisory lock: a stranger that takes a module's lock stops no module."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connections, transaction
from django.test import RequestFactory
from psycopg import sql
from pytest_django import Settings
from structlog.testing import capture_logs

from pangaea.api import problems
from pangaea.databases import engines, errors
from pangaea.databases.engines.postgresql import direct, sessions
from pangaea.databases.engines.postgresql.relay_session import lock_of_leader
from pangaea.outbox.batches import Outgoing
from pangaea.outbox.models import OutboxMessage
from pangaea.outbox.relay import Relay
from pangaea.testing import wait_until
from tests.kernel.pipeline import SOURCE, say

pytestmark = [
    pytest.mark.django_db(databases=[SOURCE], transaction=True),
    pytest.mark.usefixtures("postgresql_only"),
]


@pytest.fixture
def stranger() -> Iterator["psycopg.Connection[Any]"]:
    """A session of a login that is a member of no role."""
    entry = connections[SOURCE].settings_dict
    login, password = f"{entry['NAME']}_stranger", secrets.token_hex(8)
    with direct.connect(SOURCE, as_role=False) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(login), sql.Literal(password)))
        address = {"host": entry["HOST"], "port": entry["PORT"], "dbname": entry["NAME"]}
        with closing(psycopg.connect(**address, user=login, password=password, autocommit=True)) as connection:
            yield connection
        owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))


def say_with_a_short_lock_timeout(key: str, number: int) -> None:
    engines.of(SOURCE).limit_lock_waits(connections[SOURCE], timedelta(seconds=0.1))
    say(key, number)


class TestAStrangerThatHoldsTheLeadsLock:
    def test_prevents_no_sending_and_announcing_and_is_named(
        self, stranger: "psycopg.Connection[Any]", settings: Settings
    ) -> None:
        settings.PANGAEA = settings.PANGAEA.__class__(
            **{
                **vars(settings.PANGAEA),
                "relay_poll": timedelta(seconds=0.05),
                "relay_takeover": timedelta(seconds=0.2),
                "announce_first": timedelta(seconds=0.05),
            }
        )
        stranger.execute("SELECT pg_advisory_lock(%s)", [sessions.lock_number(lock_of_leader(SOURCE))])
        batches: list[Outgoing] = []
        stop = threading.Event()
        relay = threading.Thread(target=Relay(SOURCE, batches.extend).run, args=[stop])
        with capture_logs() as logs:
            relay.start()
            try:
                say("a", 1)
                wait_until(lambda: any(batch.last_id for batch in batches), what="the message to be sent")
                sent = len(batches)
                wait_until(lambda: len(batches) > sent, what="an idle stream to be announced")
            finally:
                stop.set()
                relay.join(10)
        (line,) = (each for each in logs if each["event"] == "standby took over")
        assert (line["leader_login"], line["leader_pid"]) == (stranger.info.user, stranger.info.backend_pid)


class TestAStrangerThatHoldsAKeysLock:
    def test_costs_the_publisher_the_lock_timeout_and_a_clear_error(self, stranger: "psycopg.Connection[Any]") -> None:
        stranger.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"{SOURCE}/a"])
        with (
            pytest.raises(OperationalError, match=f"'a'.*DATABASE_LOCK_TIMEOUT.*{SOURCE}/a") as refused,
            transaction.atomic(using=SOURCE),
        ):
            say_with_a_short_lock_timeout("a", 1)
        assert errors.kind_of(refused.value) is errors.Kind.CONFLICT
        response = problems.respond(refused.value, RequestFactory().post("/api/v1/orders"))
        assert response is not None
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        say("b", 1)
        assert [message.key for message in OutboxMessage.objects.using(SOURCE)] == ["b"]
