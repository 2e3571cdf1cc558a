"""A stopped subscription is resumed at the head or at the start, as an operator decides."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from uuid import UUID

import msgspec
import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client
from pytest_django import Settings
from structlog.testing import capture_logs

from modules.orders import commands as orders
from modules.web_bff import commands as web_bff
from modules.web_bff.models import CheckoutOutcome
from pangaea import modules
from pangaea.inbox import consume, resuming
from pangaea.inbox.batches import decode
from pangaea.inbox.delivery import Delivery
from pangaea.inbox.models import Cursor, DeadLetter, DiscardedLetter, Resumption
from pangaea.inbox.subscriptions import Projection, Reaction, Subscription
from pangaea.management.commands import streams
from pangaea.messages import Money, Received
from pangaea.ops.models import Operator
from pangaea.outbox import replay
from pangaea.outbox.batches import Outgoing
from pangaea.outbox.models import OutboxMessage, Stream
from pangaea.outbox.relay import partition_of
from pangaea.wire import CatchUp
from tests.kernel.pipeline import LISTENER, SOURCE, Tick, say
from tests.kernel.relays import relay_of
from tests.kernel.replays import Terminal

pytestmark = pytest.mark.django_db(databases="__all__")

BOTH = ("orders", "web_bff")
ACTED: list[int] = []
REACTION = "web_bff.acting"
acting = Reaction(REACTION, begins="start")
late = Reaction("web_bff.late", begins="now")


@acting.on(Tick)
def act(message: Received[Tick]) -> None:
    if message.payload.number < 0:
        text = "poison"
        raise ValueError(text)
    ACTED.append(message.payload.number)


@late.on(Tick)
def act_late(message: Received[Tick]) -> None:
    ACTED.append(message.payload.number)


@pytest.fixture(autouse=True)
def settled(settings: Settings) -> Iterator[None]:
    """Announcements and renewed requests come with every pass."""
    settings.PANGAEA = replace(
        settings.PANGAEA,
        announce_first=timedelta(microseconds=1),
        announce_at_most=timedelta(microseconds=1),
        catch_up_renewal=timedelta(microseconds=1),
    )
    yield
    ACTED.clear()


class Bus:
    """Relays and workers of some modules, which take turns."""

    def __init__(self, producers: Sequence[str] = (), subscribers: Sequence[str] = ()) -> None:
        self.batches: list[Outgoing] = []
        self.relays = [relay_of(label, self.batches.extend) for label in producers]
        self.subscribers = subscribers
        self.send: Callable[[Sequence[CatchUp]], None] = self.ask

    def run(self, turns: int = 4) -> None:
        """Relay and deliver, this many times: enough for requests and their answers."""
        for _ in range(turns):
            for relay in self.relays:
                relay.step()
            batches, self.batches[:] = list(self.batches), []
            for batch in batches:
                for label in self.subscribers:
                    self.send(consume.receive(label, batch.body))

    def ask(self, requests: Sequence[CatchUp]) -> None:
        """Bring requests to the producers."""
        for request in requests:
            replay.receive(request.source, msgspec.json.encode(request))


def restore(module: str, audience: str, *, positions: int = 0) -> None:
    """Restore the module from a backup in which each of these streams held this many messages."""
    rows = OutboxMessage.objects.using(module).filter(audience=audience)
    rows.filter(position__gt=positions).delete()
    for stream in Stream.objects.using(module).filter(audience=audience):
        last = rows.filter(partition=stream.partition).order_by("-position").first()
        stream.head = stream.sent = last.position if last and last.position else 0
        stream.sent_id = last.message_id if last else None
        stream.save()


def command(*arguments: str, bus: Bus | None = None, **options: object) -> str:
    printed = StringIO()
    call_command(streams.Command(send=(bus or Bus()).ask), *arguments, stdout=printed, **options)
    return printed.getvalue()


class TestCheckoutsAfterTheirSenderWasRestored:
    """A sender of commands was restored from a backup; its receiver has stopped, and no checkout ends."""

    @pytest.fixture
    def shop(self) -> Bus:
        with transaction.atomic(using="orders"):
            orders.add_product(sku="TEA", name="Tea", description="", price=Money(500, "EUR"), stock=1000)
        bus = Bus(BOTH, BOTH)
        for _ in range(6):
            self.check_out()
        bus.run()
        assert CheckoutOutcome.objects.count() == 6
        restore("web_bff", "orders")
        return bus

    @staticmethod
    def check_out() -> UUID:
        with transaction.atomic(using="web_bff"):
            return web_bff.check_out(customer_id=UUID(int=1), quantities={"TEA": 1}).id

    def check_out_where_it_was_read(self) -> set[UUID]:
        """Some checkouts on streams that the receiver had read before the restore."""
        read = Cursor.objects.using("orders").filter(subscription="orders.checkout", message_id__isnull=False)
        partitions = set(read.values_list("partition", flat=True))
        taken = {self.check_out() for _ in range(12)}
        return {each for each in taken if partition_of(str(each)) in partitions}

    @pytest.mark.parametrize("how", ["head", "start"])
    def test_all_wait_until_it_is_resumed(self, shop: Bus, how: str) -> None:
        waiting = self.check_out_where_it_was_read()
        shop.run()
        assert not CheckoutOutcome.objects.filter(pk__in=waiting).exists()
        command("resume", "orders.checkout", f"--from={how}", "--yes", "--reason=web_bff was restored", bus=shop)
        later = {self.check_out() for _ in range(6)}
        shop.run()
        assert CheckoutOutcome.objects.filter(pk__in=later).count() == len(later)
        assert CheckoutOutcome.objects.filter(pk__in=waiting).count() == (0 if how == "head" else len(waiting))


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    """From orders to web_bff, which has only the reaction."""
    monkeypatch.setattr(modules.named(LISTENER), "subscriptions", (f"{__name__}.acting",))
    return Bus([SOURCE], [LISTENER])


@pytest.fixture
def stopped(bus: Bus) -> Bus:
    """The reaction, which has stopped at 4 with two messages parked; its producer's history is another, up to 3."""
    for numbers in ((1, 2), (-3,), (4,)):
        say("a", *numbers)
        bus.run(1)
    restore(SOURCE, "all", positions=1)
    say("a", 5, 6)
    bus.run()
    assert cursor().state == Cursor.State.DIVERGED
    assert ACTED == [1, 2]
    return bus


def cursor(name: str = REACTION) -> Cursor:
    return Cursor.objects.using(LISTENER).get(subscription=name, partition=partition_of("a"))


class TestResuming:
    def test_at_the_head_goes_on_with_what_comes(self, stopped: Bus) -> None:
        printed = command("resume", REACTION, "--from=head", "--yes", "--reason=restored")
        assert "diverged at 4, goes on at 3; 2 parked" in printed
        assert "up to 3 messages that it has not taken will never be applied. 2 parked messages" in printed
        say("a", 7)
        stopped.run()
        assert ACTED == [1, 2, 7]
        assert cursor().position == 4

    @pytest.mark.parametrize("rule", ["holds", "is removed"])
    def test_at_the_head_takes_no_late_batch_of_the_former_history(
        self, bus: Bus, rule: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if rule == "is removed":
            monkeypatch.setattr(Cursor, "may_join", lambda _cursor, _batch: True)
        say("a", 1, 2, 3)
        bus.run(1)
        say("a", 4)
        bus.relays[0].step()
        late = list(bus.batches)
        bus.run(1)
        restore(SOURCE, "all", positions=1)
        say("a", 5, 6)
        bus.run()
        command("resume", REACTION, "--from=head", "--yes", "--reason=restored")
        for batch in late:
            consume.receive(LISTENER, batch.body)
        say("a", 7)
        bus.run()
        is_right = ACTED == [1, 2, 3, 4, 7] and cursor().state == Cursor.State.ACTIVE
        assert is_right == (rule == "holds")

    def test_at_the_start_meets_everything_again(self, stopped: Bus) -> None:
        printed = command("resume", REACTION, "--from=start", "--yes", "--reason=restored", bus=stopped)
        assert "3 messages are received again, and acted on even if they were before" in printed
        stopped.run()
        assert ACTED == [1, 2, 1, 5, 6]

    def test_takes_the_parked_messages_along(self, stopped: Bus) -> None:
        command("resume", REACTION, "--from=head", "--yes", "--reason=restored")
        assert not DeadLetter.objects.using(LISTENER).exists()
        discarded = DiscardedLetter.objects.using(LISTENER).order_by("position")
        assert [(each.position, each.reason) for each in discarded] == [(3, "restored"), (4, "restored")]
        # The position of a parked message belongs to another message.
        say("a", -7)
        stopped.run()
        assert [letter.position for letter in DeadLetter.objects.using(LISTENER).all()] == [4]

    def test_leaves_a_record(self, stopped: Bus) -> None:
        resuming.resume(acting, "head", reason=" restored ", by="chief")
        (record,) = Resumption.objects.using(LISTENER).all()
        assert (record.how, record.state, record.from_position, record.to_position) == ("head", "diverged", 4, 3)
        assert (record.skipped, record.repeated, record.discarded) == (3, 0, 2)
        assert (record.decided_by, record.reason) == ("chief", "restored")

    def test_is_all_or_nothing(self, stopped: Bus) -> None:
        with transaction.atomic(using=LISTENER):
            resuming.resume(acting, "head", reason="restored", by="chief")
            transaction.set_rollback(True, using=LISTENER)
        assert not Resumption.objects.using(LISTENER).exists()
        assert cursor().state == Cursor.State.DIVERGED
        assert DeadLetter.objects.using(LISTENER).count() == 2

    def test_at_the_start_must_be_meant(self, stopped: Bus) -> None:
        with pytest.raises(CommandError, match="repeats its effects: give --yes"):
            command("resume", REACTION, "--from=start", "--reason=restored", stdin=Terminal("y\n"))
        assert cursor().state == Cursor.State.DIVERGED

    @pytest.mark.parametrize(("answer", "state"), [("y\n", "active"), ("n\n", "diverged"), ("", "diverged")])
    def test_at_the_head_is_asked_for(self, stopped: Bus, answer: str, state: str) -> None:
        try:
            command("resume", REACTION, "--from=head", "--reason=restored", stdin=Terminal(answer))
        except CommandError as error:
            assert "Nothing was done" in str(error)  # noqa: PT017 - one answer of three does not raise
        assert cursor().state == state

    def test_needs_a_reason(self, stopped: Bus) -> None:
        with pytest.raises(CommandError, match="Give the reason"):
            command("resume", REACTION, "--from=head", "--yes", "--reason= ")
        with pytest.raises(CommandError, match=r"Remove U\+001B"):
            command("resume", REACTION, "--from=head", "--yes", "--reason=a\x1b[2J")

    def test_of_what_has_not_stopped_is_refused(self, bus: Bus) -> None:
        say("a", 1)
        bus.run()
        with pytest.raises(CommandError, match="has not stopped"):
            command("resume", REACTION, "--from=head", "--yes", "--reason=why not")

    def test_of_an_unknown_subscription_names_those_there_are(self, bus: Bus) -> None:
        with pytest.raises(CommandError, match=REACTION):
            command("resume", "web_bff.nonsense", "--from=head", "--yes", "--reason=why not")


class TestTheRemedy:
    @pytest.mark.parametrize(
        ("subscription", "remedy"),
        [
            (Projection("web_bff.shown", models=("Profile",)), "manage.py rebuild web_bff.shown"),
            (Projection("web_bff.vague"), "manage.py streams resume web_bff.vague --reason=WHY --from=head"),
            (Reaction("web_bff.acts", begins="now"), "manage.py streams resume web_bff.acts --reason=WHY --from=head"),
        ],
    )
    def test_is_that_of_its_kind(self, subscription: Subscription, remedy: str) -> None:
        assert remedy in subscription.remedy

    def test_of_a_projection_is_no_resumption(self) -> None:
        Cursor.objects.using(LISTENER).create(
            subscription="web_bff.orders", source=SOURCE, audience="all", partition=0, state=Cursor.State.DIVERGED
        )
        with pytest.raises(CommandError, match=r"manage\.py rebuild web_bff\.orders"):
            command("resume", "web_bff.orders", "--from=head", "--yes", "--reason=why not")

    def test_is_named_by_the_check(self, stopped: Bus) -> None:
        with pytest.raises(CommandError, match=rf"{REACTION} has stopped on orders\.all\.\d, diverged.*streams resume"):
            command("--check")


class TestTheAdmin:
    PAGE = "/admin/pangaea/stream/"
    RESUME = f"{PAGE}{REACTION}/resume/"

    @pytest.fixture
    def browser(self, client: Client, stopped: Bus) -> Client:
        client.force_login(Operator.objects.create_superuser("chief"))
        return client

    def test_shows_both_ways_before_one_is_taken(self, browser: Client) -> None:
        assert self.RESUME in browser.get(self.PAGE).content.decode()
        page = browser.get(self.RESUME).content.decode()
        for how in ("head", "start"):
            assert str(resuming.plan(acting, how)) in page
        assert cursor().state == Cursor.State.DIVERGED

    def test_resumes_and_shows_who_did_and_why(self, browser: Client) -> None:
        form = {"how": "head", "reason": "restored", "confirmed": "yes"}
        page = browser.post(self.RESUME, form, follow=True).content.decode()
        assert "will never be applied" in page
        assert cursor().state == Cursor.State.ACTIVE
        record = Resumption.objects.using(LISTENER).get()
        assert (record.decided_by, record.reason) == ("chief", "restored")
        assert "Resumed by operators" in page
        assert self.RESUME not in page

    @pytest.mark.parametrize("form", [{"how": "start", "reason": "x"}, {"how": "head", "reason": " "}, {"reason": "x"}])
    def test_asks_again_for_what_is_missing(self, browser: Client, form: dict[str, str]) -> None:
        page = browser.post(self.RESUME, form | {"confirmed": "yes"}).content.decode()
        assert "Choose where it goes on" in page
        assert cursor().state == Cursor.State.DIVERGED

    @pytest.mark.parametrize("reason", ["a\0b", "restored\u202e", "\u200b"])
    def test_takes_no_reason_that_cannot_be_read(self, browser: Client, reason: str) -> None:
        answer = browser.post(self.RESUME, {"how": "head", "reason": reason, "confirmed": "yes"})
        assert answer.status_code == 200
        assert "Remove U+" in answer.content.decode()
        assert cursor().state == Cursor.State.DIVERGED

    def test_repeats_effects_where_that_is_meant(self, browser: Client, stopped: Bus) -> None:
        browser.post(self.RESUME, {"how": "start", "reason": "x", "repeats": "yes", "confirmed": "yes"})
        stopped.run()
        assert ACTED == [1, 2, 1, 5, 6]

    def test_is_for_those_who_may(self, client: Client, stopped: Bus) -> None:
        watcher = Operator.objects.create_user("watcher", is_staff=True)
        watcher.user_permissions.add(Permission.objects.get(codename="view_stream"))
        client.force_login(watcher)
        assert self.RESUME not in client.get(self.PAGE).content.decode()
        assert client.post(self.RESUME, {"how": "head", "reason": "x", "confirmed": "yes"}).status_code == 403
        assert cursor().state == Cursor.State.DIVERGED

    def test_has_no_page_for_what_has_not_stopped(self, browser: Client) -> None:
        assert browser.get(f"{self.PAGE}web_bff.nonsense/resume/").status_code == 404
        resuming.resume(acting, "head", reason="restored", by="chief")
        assert "has not stopped" in browser.get(self.RESUME, follow=True).content.decode()


class TestAReactionThatBeginsNow:
    @pytest.fixture
    def earlier(self, monkeypatch: pytest.MonkeyPatch) -> Bus:
        """Two messages before the reaction exists, and one after."""
        monkeypatch.setattr(modules.named(LISTENER), "subscriptions", ())
        bus = Bus([SOURCE], [LISTENER])
        say("a", 1, 2)
        bus.run()
        monkeypatch.setattr(modules.named(LISTENER), "subscriptions", (f"{__name__}.late",))
        return bus

    def test_acts_on_what_comes(self, earlier: Bus) -> None:
        say("a", 3)
        earlier.run()
        assert ACTED == [3]
        assert cursor("web_bff.late").position == 3

    def test_begins_at_an_announcement_too(self, earlier: Bus) -> None:
        earlier.run()
        assert cursor("web_bff.late").position == 2
        say("a", 3)
        earlier.run()
        assert ACTED == [3]

    def test_writes_its_first_attempt_down(self, earlier: Bus) -> None:
        say("a", 3)
        earlier.relays[0].step()
        batch, received = next(
            (batch, received) for batch, received in (decode(each.body) for each in earlier.batches) if received
        )

        class Ended(BaseException):
            """The process ends."""

        def end(_message: object) -> None:
            raise Ended

        dying = Reaction("web_bff.late", begins="now")
        dying.on(Tick)(end)
        for _ in range(4):
            with pytest.raises(Ended):
                consume.apply(Delivery(dying, batch, received))
        consume.apply(Delivery(dying, batch, received))
        assert [letter.position for letter in DeadLetter.objects.using(LISTENER).all()] == [3]

    def test_says_so_or_is_refused(self) -> None:
        with pytest.raises(ValueError, match='begins="start" or begins="now"'):
            Reaction("web_bff.unclear", begins="sometime")  # type: ignore[arg-type] # a mistake


class TestWhatAnUndeclaredSubscriptionLeft:
    @pytest.fixture
    def left(self, bus: Bus) -> str:
        say("a", 1, -2, 3)
        bus.run()
        for model in (Cursor, DeadLetter):
            model.objects.using(LISTENER).update(subscription="web_bff.former")
        return "web_bff.former"

    def test_is_named(self, left: str) -> None:
        assert resuming.undeclared(LISTENER) == [left]

    def test_is_named_when_a_worker_starts(self, left: str) -> None:
        with capture_logs() as lines:
            resuming.name_undeclared([LISTENER, SOURCE])
        (line,) = lines
        assert (line["event"], line["subscription"]) == ("undeclared subscription found", left)
        assert f"streams forget {left}" in line["remedy"]

    def test_is_removed_with_a_record(self, left: str) -> None:
        command("forget", left, "--yes", "--reason=renamed")
        assert resuming.undeclared(LISTENER) == []
        assert not DeadLetter.objects.using(LISTENER).exists()
        assert DiscardedLetter.objects.using(LISTENER).count() == 2
        assert {record.how for record in Resumption.objects.using(LISTENER).all()} == {"forget"}

    def test_of_a_declared_one_stays(self, left: str) -> None:
        with pytest.raises(CommandError, match=rf"There are: {left}"):
            command("forget", REACTION, "--yes", "--reason=renamed")
