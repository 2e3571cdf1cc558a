from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import transaction

from modules.orders.messages import OrderCancelled
from modules.web_bff.models import Profile
from pangaea import outbox, testing
from pangaea.errors import Unauthenticated
from pangaea.identity import tokens
from pangaea.identity.principal import Principal
from pangaea.ids import uuid7
from pangaea.inbox.models import Cursor, DeadLetter

pytestmark = pytest.mark.django_db(databases="__all__")

REGISTERED = "users.user_registered"
ADA = {"email": "ada@example.com", "full_name": "Ada", "registered_at": "2026-01-01T00:00:00Z"}


class TestPublished:
    def test_returns_the_modules_messages_in_order(self) -> None:
        keys = [uuid7(), uuid7()]
        with transaction.atomic(using="orders"):
            for key in keys:
                event = OrderCancelled(order_id=key, customer_id=key, cancelled_at=datetime.now(UTC))
                outbox.publish(event, key=str(key))
        assert [(each.wire_name, each.version, each.key) for each in testing.published("orders")] == [
            ("orders.order_cancelled", 1, str(key)) for key in keys
        ]
        assert testing.published("orders")[0].payload["order_id"] == str(keys[0])
        assert testing.published("users") == []


class TestDeliver:
    def test_applies_a_message_to_a_module(self) -> None:
        id_ = uuid4()
        testing.deliver(REGISTERED, {"user_id": id_, **ADA}, key=str(id_), to="web_bff")
        assert Profile.objects.get(pk=id_).full_name == "Ada"

    def test_takes_the_next_position_each_time(self) -> None:
        for _ in range(3):
            testing.deliver(REGISTERED, {"user_id": uuid4(), **ADA}, key="same", to="web_bff")
        cursors = Cursor.objects.using("web_bff").filter(source="users")
        assert [(cursor.position, cursor.head) for cursor in cursors] == [(3, 3)]

    def test_fails_the_test_when_the_message_was_parked(self) -> None:
        with pytest.raises(AssertionError, match=r"web_bff.profiles parked users.user_registered.*user_id"):
            testing.deliver(REGISTERED, {}, key="a", to="web_bff")

    def test_parks_like_the_worker_with_may_park(self) -> None:
        testing.deliver(REGISTERED, {}, key="a", to="web_bff", may_park=True)
        testing.deliver(REGISTERED, {"user_id": uuid4(), **ADA}, key="a", to="web_bff", may_park=True)
        letters = DeadLetter.objects.using("web_bff").order_by("position")
        assert [bool(letter.error) for letter in letters] == [True, False]
        assert not Profile.objects.exists()

    def test_refuses_a_message_without_a_handler(self) -> None:
        with pytest.raises(AssertionError, match=r"No subscription of web_bff handles users\.nonsense"):
            testing.deliver("users.nonsense", {}, key="a", to="web_bff")


class TestAccessToken:
    def test_is_a_customers_unless_other_roles_are_named(self) -> None:
        subject = uuid4()
        principal = tokens.verify(testing.access_token(subject))
        assert principal == Principal(subject=subject, roles=frozenset({"customer"}))
        assert tokens.verify(testing.access_token(subject, roles=["support"])).roles == {"support"}

    def test_is_narrowed_to_the_scopes_it_is_given(self) -> None:
        assert tokens.verify(testing.access_token(uuid4(), ["a:b"])).scopes == frozenset({"a:b"})

    def test_can_have_expired(self) -> None:
        with pytest.raises(Unauthenticated, match="token_expired"):
            tokens.verify(testing.access_token(uuid4(), lifetime=timedelta(hours=-1)))


class TestWaitUntil:
    def test_returns_the_first_truthy_answer(self) -> None:
        answers = iter([0, "", "there"])
        assert testing.wait_until(lambda: next(answers), what="it") == "there"

    def test_names_the_condition_that_did_not_hold(self) -> None:
        with pytest.raises(AssertionError, match=r"Still waiting for it after 0.05 s; the last answer was None"):
            testing.wait_until(lambda: None, what="it", seconds=0.05)
