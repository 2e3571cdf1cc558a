"""Conditions that need a person: each is named with its remedy, in the same words by the command and in the admin."""

import html
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from pangaea import modules
from pangaea.broker import celery_app, topology
from pangaea.databases.engines.postgresql import direct, old_transactions
from pangaea.health import concerns, stream_status
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.ops.models import Operator
from pangaea.outbox.models import OutboxMessage, Stream
from pangaea.testing import free_port, wait_until
from tests.kernel.failing import read_only

ALIAS, SOURCE = "web_bff", "orders"
STREAM_KEY = {"subscription": "web_bff.orders", "source": SOURCE, "audience": "all", "partition": 0}
LETTER = {"key": "k", "name": "orders.order_placed", "body": "{}"}
LONG_AGO = timedelta(minutes=11)

pytestmark = pytest.mark.django_db(databases="__all__")


def found() -> list[str]:
    """All conditions that need a person, as the command prints them."""
    printed = ""
    try:
        call_command("streams", "--check", stdout=StringIO())
    except CommandError as error:
        printed = str(error)
    return printed.splitlines()


def only() -> str:
    (concern,) = found()
    return concern


class TestNothing:
    def test_is_named_where_no_condition_holds(self) -> None:
        Cursor.objects.using(ALIAS).create(**STREAM_KEY, position=3, head=3)
        assert found() == []


@pytest.mark.django_db(databases="__all__", transaction=True)
class TestAReadOnlyDatabase:
    def test_is_named_for_each_of_its_modules(self, postgresql_only: None) -> None:
        with read_only(SOURCE):
            named = found()
        assert [each.split()[3] for each in named] == modules.labels()
        assert all("is read-only, so nothing is published or applied" in each for each in named)
        assert found() == []


class TestParkedMessages:
    @pytest.fixture(autouse=True)
    def cursor(self) -> Cursor:
        return Cursor.objects.using(ALIAS).create(**STREAM_KEY, position=3, head=3)

    def test_are_named_when_they_are_dead(self) -> None:
        for position, state in enumerate([DeadLetter.State.DEAD, DeadLetter.State.BEHIND], 1):
            DeadLetter.objects.using(ALIAS).create(**STREAM_KEY, **LETTER, position=position, state=state)
        assert only().startswith("web_bff.orders has 1 dead letter among 2 parked messages: redrive or discard")

    @pytest.mark.parametrize(("age", "named"), [(timedelta(minutes=9), False), (LONG_AGO, True)])
    def test_are_named_when_they_are_retried_for_long(self, age: timedelta, named: bool) -> None:
        now = timezone.now()
        letter = DeadLetter.objects.using(ALIAS).create(
            **STREAM_KEY, **LETTER, position=1, state=DeadLetter.State.RETRYING, next_attempt_at=now
        )
        DeadLetter.objects.using(ALIAS).filter(pk=letter.pk).update(parked_at=now - age)
        assert [each.startswith("web_bff.orders has retried a parked message for 66") for each in found()] == (
            [True] if named else []
        )


class TestASubscriptionThatTakesNothing:
    @pytest.mark.parametrize(("age", "named"), [(timedelta(seconds=50), False), (timedelta(seconds=70), True)])
    def test_is_named_while_messages_wait(self, age: timedelta, named: bool) -> None:
        cursor = Cursor.objects.using(ALIAS).create(**STREAM_KEY, position=3, head=4)
        assert cursor.waiting_since is not None
        Cursor.objects.using(ALIAS).filter(pk=cursor.pk).update(waiting_since=timezone.now() - age)
        assert [each.startswith("web_bff.orders has taken nothing from orders.all.0 for 7") for each in found()] == (
            [True] if named else []
        )

    def test_is_named_by_what_its_producer_has_sent(self) -> None:
        """The subscriber has recorded no message at which its handler hangs."""
        if SOURCE not in modules.labels():
            pytest.skip(f"needs the module {SOURCE}")
        cursor = Cursor.objects.using(ALIAS).create(**STREAM_KEY, position=3, head=3)
        Cursor.objects.using(ALIAS).filter(pk=cursor.pk).update(updated_at=timezone.now() - LONG_AGO)
        Stream.objects.using(SOURCE).create(audience="all", partition=0, partitions=8, head=4, sent=4)
        published = OutboxMessage.objects.using(SOURCE).create(
            message_id=uuid4(), audience="all", **LETTER, partition=0, position=4
        )
        assert found() == []
        OutboxMessage.objects.using(SOURCE).filter(pk=published.pk).update(created_at=timezone.now() - LONG_AGO)
        assert only().startswith("web_bff.orders has taken nothing from orders.all.0 for 66")

    def test_is_named_while_it_waits_for_a_snapshot(self) -> None:
        cursor = Cursor.objects.using(ALIAS).create(**STREAM_KEY, position=3, head=3, began_at=3)
        assert found() == []
        Cursor.objects.using(ALIAS).filter(pk=cursor.pk).update(waiting_since=timezone.now() - LONG_AGO)
        assert only().startswith("web_bff.orders still waits for a snapshot of what orders has deleted")
        cursor.began_at = None
        cursor.save()
        assert found() == []

    def test_is_named_where_it_has_no_cursor(self) -> None:
        """No worker was ever started, and Redis knows no consumers of a queue."""
        if SOURCE not in modules.labels():
            pytest.skip(f"needs the module {SOURCE}")
        Stream.objects.using(SOURCE).create(audience="all", partition=0, partitions=8, head=1, sent=1)
        published = OutboxMessage.objects.using(SOURCE).create(
            message_id=uuid4(), audience="all", **LETTER, partition=0, position=1
        )
        assert found() == []
        OutboxMessage.objects.using(SOURCE).filter(pk=published.pk).update(created_at=timezone.now() - LONG_AGO)
        assert any(each.startswith("web_bff.orders has taken nothing from orders.all.0 for 66") for each in found())

    def test_has_waited_since_it_took_the_last_message(self) -> None:
        cursor = Cursor.objects.using(ALIAS).create(**STREAM_KEY, position=3, head=5)
        earlier = timezone.now() - LONG_AGO
        cursor.waiting_since = earlier
        cursor.save()
        assert cursor.waiting_since == earlier
        cursor.advance(4, uuid4())
        cursor.save()
        assert cursor.waiting_since is not None
        assert cursor.waiting_since > earlier
        cursor.advance(5, uuid4())
        cursor.save()
        assert cursor.waiting_since is None


class TestAnUndeclaredSubscription:
    def test_is_named(self) -> None:
        Cursor.objects.using(ALIAS).create(**STREAM_KEY | {"subscription": "web_bff.former"}, position=3, head=9)
        assert only().startswith("web_bff.former has cursors, and no module of this process declares it")


class TestAnOldTransaction:
    @contextmanager
    def open(self, settings: Settings) -> Iterator[int]:
        """Hold a session with a transaction that is older than the limit; gives the session's number."""
        with closing(direct.connect(SOURCE, autocommit=False)) as session:
            session.execute("SELECT 1")
            settings.PANGAEA = replace(settings.PANGAEA, check_transaction_at_most=timedelta(microseconds=1))
            yield session.info.backend_pid

    @pytest.mark.usefixtures("postgresql_only")
    def test_is_named_once_for_each_database(self, settings: Settings) -> None:
        with self.open(settings) as session:
            named = [each for each in found() if f"session {session} of" in each]
        assert len(named) == 1
        assert "idle in transaction, and slows every pass" in named[0]
        # The server ends a session a moment after its client has left.
        wait_until(lambda: f"session {session} of" not in "\n".join(found()), what="the session to end")

    @pytest.mark.usefixtures("postgresql_only")
    def test_of_another_user_is_named_by_its_age_in_transactions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(old_transactions, "HIDDEN_AFTER", -1)
        role = f"pangaea_test_{uuid4().hex}"
        with (
            closing(direct.connect(SOURCE, as_role=False)) as administrator,
            closing(direct.connect(SOURCE, as_role=False, autocommit=False)) as session,
        ):
            session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            session.execute("SELECT 1 FROM pg_class")
            configuration = connections[SOURCE].settings_dict
            administrator.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{configuration['PASSWORD']}'")
            try:
                monkeypatch.setitem(configuration, "USER", role)
                named = [each for each in found() if f"session {session.info.backend_pid} of" in each]
            finally:
                administrator.execute(f"DROP ROLE {role}")
        assert len(named) == 1
        assert "pg_read_all_stats" in named[0]

    @pytest.mark.usefixtures("postgresql_only")
    def test_is_reported_as_unknown_where_no_session_can_be_opened(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for label in modules.labels():
            monkeypatch.setitem(connections[label].settings_dict, "USER", "no_such")
        assert only().startswith("Whether transactions are open for long is not known")

    @pytest.mark.usefixtures("postgresql_only")
    def test_is_not_named_within_the_limit(self, settings: Settings) -> None:
        with self.open(settings):
            settings.PANGAEA = replace(settings.PANGAEA, check_transaction_at_most=timedelta(hours=1))
            assert found() == []


class TestQueues:
    @pytest.fixture
    def declared(self, amqp_url: str, settings: Settings) -> Iterator[None]:
        settings.PANGAEA = replace(settings.PANGAEA, broker_url=amqp_url, broker_prefix="concerns.")
        celery_app.app.cache_clear()
        topology.declare(celery_app.app())
        yield
        celery_app.app().close()
        celery_app.app.cache_clear()

    @pytest.mark.usefixtures("declared")
    def test_without_a_consumer_are_named(self) -> None:
        assert len(found()) == len(modules.labels())
        assert all("No worker consumes concerns." in each for each in found())

    @pytest.mark.usefixtures("declared")
    def test_of_another_number_are_named_while_a_worker_consumes_them(self, settings: Settings) -> None:
        former = celery_app.make_app(replace(settings.PANGAEA, queues_per_module=2))
        topology.declare(former)
        name = f"concerns.{ALIAS}.inbox.1of2"
        assert not [each for each in found() if "of2" in each]
        with former.connection_for_read() as connection:
            former.amqp.queues[name](connection.default_channel).consume("worker", lambda _message: None)
            named = f"A worker consumes {name}, so its QUEUES_PER_MODULE is not 1"
            wait_until(lambda: any(each.startswith(named) for each in found()), what="the consumer")
            for queue in former.amqp.queues.values():
                queue(connection.default_channel).delete()
        former.close()

    def test_are_reported_as_unknown_while_the_broker_is_unreachable(self, settings: Settings) -> None:
        url = f"amqp://guest:guest@127.0.0.1:{free_port()}//"
        settings.PANGAEA = replace(settings.PANGAEA, broker_url=url)
        celery_app.app.cache_clear()
        try:
            assert only().startswith("The broker does not answer")
        finally:
            celery_app.app.cache_clear()


class TestTheAdmin:
    def test_names_the_same(self, client: Client) -> None:
        client.force_login(Operator.objects.create_superuser("chief"))
        assert "Nothing waits for a person." in client.get("/admin/pangaea/stream/").content.decode()
        Cursor.objects.using(ALIAS).create(**STREAM_KEY, state=Cursor.State.DIVERGED)
        DeadLetter.objects.using(ALIAS).create(**STREAM_KEY, **LETTER, position=1, state=DeadLetter.State.DEAD)
        Cursor.objects.using(ALIAS).create(**STREAM_KEY | {"subscription": "web_bff.former"})
        page = html.unescape(client.get("/admin/pangaea/stream/").content.decode())
        assert len(found()) == 3
        assert all(concern in page for concern in found())
        assert concerns.of(stream_status.read_all(modules.installed())) == found()


class TestARemedy:
    """The command in a concern's sentence can be typed, and ends the condition."""

    def test_of_an_undeclared_subscription_works(self) -> None:
        Cursor.objects.using(ALIAS).create(**STREAM_KEY | {"subscription": "web_bff.former"}, position=3, head=9)
        remedy("--yes")
        assert found() == []

    @pytest.mark.parametrize("chosen", [0, 1], ids=["head", "start"])
    def test_of_a_stopped_reaction_works(self, chosen: int) -> None:
        if SOURCE not in modules.labels():
            pytest.skip(f"needs the module {SOURCE}")
        checkout = {"subscription": "orders.checkout", "source": ALIAS, "audience": SOURCE, "partition": 0}
        Cursor.objects.using(SOURCE).create(**checkout, position=3, head=3, state=Cursor.State.DIVERGED)
        remedy("--yes", chosen=chosen)
        assert not any("has stopped" in each for each in found())

    @pytest.mark.parametrize("state", [DeadLetter.State.DEAD, DeadLetter.State.RETRYING])
    def test_of_a_parked_message_lists_it(self, state: str) -> None:
        Cursor.objects.using(ALIAS).create(**STREAM_KEY, position=3, head=3)
        due = timezone.now() if state == DeadLetter.State.RETRYING else None
        letters = DeadLetter.objects.using(ALIAS)
        letter = letters.create(**STREAM_KEY, **LETTER, position=1, state=state, next_attempt_at=due)
        letters.update(parked_at=timezone.now() - LONG_AGO)
        assert f"{ALIAS}/{letter.pk}" in remedy()


def remedy(*more: str, chosen: int = 0) -> str:
    """Run the command that the only concern names, and return what it prints."""
    name, *arguments = re.findall(r"`manage\.py (.+?)`", only())[chosen].split()
    printed = StringIO()
    call_command(name, *arguments, *more, stdout=printed)
    return printed.getvalue()


class TestReadiness:
    def test_ignores_conditions_that_another_instance_has_too(self, client: Client) -> None:
        """A pod drained for a dead letter serves no requests, and the next one has the same letter."""
        Cursor.objects.using(ALIAS).create(**STREAM_KEY, state=Cursor.State.DIVERGED, head=9)
        DeadLetter.objects.using(ALIAS).create(**STREAM_KEY, **LETTER, position=1, state=DeadLetter.State.DEAD)
        Cursor.objects.using(ALIAS).create(**STREAM_KEY | {"subscription": "web_bff.former"})
        assert found()
        assert client.get("/readyz").status_code == 200
