import json
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.outbox.models import OutboxMessage, Stream, Subscriber

pytestmark = pytest.mark.django_db(databases="__all__")

ALIAS = "orders"
CURSOR = {"subscription": "orders.customers", "source": "users", "audience": "all", "partition": 0}


def run(*arguments: str) -> str:
    printed = StringIO()
    call_command("streams", "--module", ALIAS, *arguments, stdout=printed)
    return printed.getvalue()


@pytest.fixture
def streams() -> None:
    Stream.objects.using(ALIAS).create(audience="all", partition=0, partitions=8, head=7, sent=4, floor=2)
    message = OutboxMessage.objects.using(ALIAS).create(
        message_id=uuid4(), audience="all", key="k", name="orders.x", body="{}", partition=0, position=5
    )
    OutboxMessage.objects.using(ALIAS).filter(pk=message.pk).update(created_at=timezone.now() - timedelta(seconds=30))
    Cursor.objects.using(ALIAS).create(**CURSOR, position=10, head=15)
    letter = {"key": "k", "name": "users.user_registered", "body": "{}"}
    DeadLetter.objects.using(ALIAS).create(**CURSOR, position=8, **letter, state=DeadLetter.State.DEAD)
    DeadLetter.objects.using(ALIAS).create(**CURSOR, position=9, **letter)
    Subscriber.objects.using(ALIAS).create(
        subscription="web_bff.orders", audience="all", partition=0, position=3, reported_at=timezone.now()
    )


@pytest.mark.usefixtures("streams")
class TestStreams:
    def test_prints_streams_subscriptions_and_subscribers(self) -> None:
        lines = [" ".join(line.split()) for line in run().splitlines()]
        assert "orders.customers 10 5 2 1 dead" in lines
        assert any(line.startswith("all 7 4 2 5 3 3") for line in lines)
        assert any(line.startswith("web_bff.orders 4 ") for line in lines)

    def test_prints_everything_as_json(self) -> None:
        (status,) = json.loads(run("--json"))
        (stream,) = status["streams"]
        assert (stream["head"], stream["sent"], stream["floor"], stream["retained"]) == (7, 4, 2, 5)
        (cursor,) = next(each["cursors"] for each in status["subscriptions"] if each["name"] == "orders.customers")
        assert (cursor["position"], cursor["lag"], cursor["parked"], cursor["dead"]) == (10, 5, 2, 1)

    def test_check_passes_within_the_limits(self) -> None:
        DeadLetter.objects.using(ALIAS).all().delete()
        run("--check")

    def test_fails_on_a_message_that_waits_too_long(self) -> None:
        with pytest.raises(CommandError, match=r"orders has not sent what it published 3\d s ago"):
            run("--check", "--max-age=10")

    def test_fails_on_a_subscription_that_is_too_far_behind(self) -> None:
        with pytest.raises(CommandError, match=r"orders\.customers lags by 5 messages"):
            run("--check", "--max-lag=4")

    def test_fails_on_a_subscription_that_has_stopped(self) -> None:
        Cursor.objects.using(ALIAS).update(state=Cursor.State.DIVERGED)
        with pytest.raises(CommandError, match=r"orders\.customers has stopped on users\.all\.0, diverged.*rebuild"):
            run("--check")
        assert "diverged" in run()

    def test_refuses_an_unknown_module(self) -> None:
        with pytest.raises(CommandError, match="no module 'no_such'"):
            call_command("streams", "--module", "no_such")
