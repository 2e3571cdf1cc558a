import re
from uuid import UUID

import pytest
from django.db import connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pangaea import modules
from pangaea.health import stream_status
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.ops.models import Operator
from pangaea.outbox.models import OutboxMessage, Stream
from tests.kernel.labels import labels

ALIAS = "orders"
PAGE = "/admin/pangaea/stream/"
if ALIAS not in modules.labels():
    pytest.skip(f"shows the streams of {ALIAS}", allow_module_level=True)

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(Operator.objects.create_superuser("chief"))
    return client


class TestStreamsPage:
    @pytest.fixture
    def life(self) -> None:
        """A module with a backlog, an unsequenced message, a subscription that lags and a parked message."""
        for partition in range(2):
            Stream.objects.using(ALIAS).create(audience="all", partition=partition, partitions=8, head=7, sent=4)
            stream = {"subscription": "orders.customers", "source": "users", "audience": "all", "partition": partition}
            Cursor.objects.using(ALIAS).create(**stream, position=10, head=12)
            letter = {"key": "k", "name": "users.user_registered", "body": "{}"}
            DeadLetter.objects.using(ALIAS).create(**stream, position=9, **letter)
        message_id = UUID("018f0000-0000-7000-8000-000000000001")
        fields = {"key": "k", "name": "orders.order_placed", "body": "{}"}
        OutboxMessage.objects.using(ALIAS).create(message_id=message_id, audience="all", **fields)

    @pytest.mark.usefixtures("life")
    def test_reads_the_streams_and_subscriptions_of_a_module(self) -> None:
        status = stream_status.read(modules.named(ALIAS))

        assert [(each.partition, each.backlog) for each in status.streams] == [(0, 3), (1, 3)]
        assert status.unsequenced == {"all": 1}
        (subscription,) = (each for each in status.subscriptions if each.name == "orders.customers")
        assert [(cursor.partition, cursor.lag, cursor.parked) for cursor in subscription.cursors] == [
            (0, 2, 1),
            (1, 2, 1),
        ]
        assert (status.backlog, status.lag, status.parked) == (7, 4, 2)

    @pytest.mark.usefixtures("life")
    def test_shows_streams_and_subscriptions(self, browser: Client) -> None:
        page = browser.get(PAGE).content.decode()

        assert "orders.customers" in page
        assert {"waiting", "lagging"} <= {word for word, _ in labels(page)}
        assert len(re.findall(r">\s*all\s*<", page)) > 1
        assert all(f'id="{label}"' in page for label in modules.labels())

    @pytest.mark.usefixtures("life")
    def test_runs_eight_queries_per_module_at_most_for_any_number_of_rows(self, browser: Client) -> None:
        with CaptureQueriesContext(connections[ALIAS]) as few:
            browser.get(PAGE)
        for partition in range(2, 8):
            Stream.objects.using(ALIAS).create(audience="all", partition=partition, partitions=8, head=7, sent=4)
        with CaptureQueriesContext(connections[ALIAS]) as many:
            browser.get(PAGE)

        assert len(few) == len(many) <= 8

    def test_lists_a_subscription_that_has_received_nothing(self, browser: Client) -> None:
        page = browser.get(PAGE).content.decode()

        assert "orders.customers" in page
        assert "not begun" in page

    def test_shows_a_diverged_subscription_before_anything_else_about_it(self, browser: Client) -> None:
        for partition, state in enumerate(Cursor.State):
            Cursor.objects.using(ALIAS).create(
                subscription="orders.customers", source="users", audience="all", partition=partition, state=state
            )
        subscriptions = {each.name: each for each in stream_status.read(modules.named(ALIAS)).subscriptions}
        subscription = subscriptions["orders.customers"]

        assert subscription.states[-1] == Cursor.State.ACTIVE
        assert "diverged" in browser.get(PAGE).content.decode()

    def test_shows_the_other_modules_when_one_cannot_be_read(self, browser: Client) -> None:
        with transaction.atomic(using=ALIAS):
            with connections[ALIAS].cursor() as cursor:
                cursor.execute("ALTER TABLE pangaea_stream RENAME TO pangaea_stream_gone")
            answer = browser.get(PAGE)
            transaction.set_rollback(True, using=ALIAS)

        assert answer.status_code == 200
        unreadable = [each["status"].label for each in answer.context["modules"] if each["status"].unreadable]
        assert unreadable == [ALIAS]

    def test_has_no_page_that_writes(self, browser: Client) -> None:
        for page in ("add/", "1/change/", "1/delete/"):
            assert browser.post(PAGE + page).status_code == 404
