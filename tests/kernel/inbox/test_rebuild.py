"""Replaying a projection never harms the live tables, whatever happens meanwhile."""

import io
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections
from django.db.models import F
from pytest_django import Settings

from modules.web_bff.handlers import orders as projection
from modules.web_bff.models import OrderLine, OrderSummary, Profile, TimelineEntry
from pangaea import modules
from pangaea.databases.engines.postgresql import direct
from pangaea.inbox import consume
from pangaea.inbox.batches import decode
from pangaea.inbox.delivery import Delivery
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.inbox.rebuild import cut_over, ownership, replay, rows, shadows
from pangaea.inbox.rebuild.cut_over import CutOver, Refused
from pangaea.inbox.rebuild.shadows import Shadow
from pangaea.inbox.subscriptions import Projection, Reaction
from pangaea.management import replaying
from pangaea.management.commands import rebuild as rebuild_command
from pangaea.management.commands import reconcile as reconcile_command
from pangaea.outbox.models import OutboxMessage, Stream
from pangaea.testing import free_port
from pangaea.wire import CatchUp
from tests.kernel.replays import (
    LISTENER,
    ORDERS,
    SOURCE,
    Printed,
    Terminal,
    Wire,
    cancel,
    forget_the_end,
    nothing_is_left,
    place,
    positions,
    run,
    shown,
    table,
    writing,
)

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)


@pytest.fixture
def wire(settings: Settings) -> Iterator[Wire]:
    settings.PANGAEA = replace(settings.PANGAEA, catch_up_renewal=timedelta(seconds=1))
    yield Wire()
    shadows.clear(LISTENER)


@pytest.fixture
def order_ids(wire: Wire) -> list[UUID]:
    """Thirty orders, every third one cancelled, that the projection shows."""
    placed = [place("A", "B") for _ in range(30)]
    for order_id in placed[::3]:
        cancel(order_id)
    wire.pump()
    assert OrderSummary.objects.count() == 30
    return placed


def rebuilt(wire: Wire, *arguments: str, **options: Any) -> Printed:
    return run(rebuild_command.Command(send=wire.answer), ORDERS, *arguments, **options)


def reconciled(wire: Wire, *arguments: str) -> Printed:
    return run(reconcile_command.Command(send=wire.answer), ORDERS, *arguments)


class TestARebuild:
    def test_gives_what_there_was(self, wire: Wire, order_ids: list[UUID]) -> None:
        before, at = shown(), positions()
        printed = rebuilt(wire)
        assert (shown(), positions()) == (before, at)
        assert ["OrderLine", "60", "60"] in table(printed)
        assert "40 of 40 messages (100%)" in printed.stderr
        assert nothing_is_left()

    def test_leaves_a_projection_that_goes_on(self, wire: Wire, order_ids: list[UUID]) -> None:
        rebuilt(wire)
        cancel(order_ids[1])
        latest = place("C")
        wire.pump()
        assert OrderSummary.objects.get(pk=order_ids[1]).status == "cancelled"
        assert (
            OrderLine.objects.get(order_id=latest).pk > OrderLine.objects.filter(order_id=order_ids[0]).latest("pk").pk
        )
        assert not DeadLetter.objects.using(LISTENER).exists()

    def test_cures_a_row_that_was_changed_by_hand(self, wire: Wire, order_ids: list[UUID]) -> None:
        right = shown()
        OrderSummary.objects.filter(pk=order_ids[4]).update(status="cancelled", total_amount=1)
        rebuilt(wire)
        assert shown() == right

    def test_takes_what_is_published_meanwhile(self, wire: Wire, order_ids: list[UUID]) -> None:
        with wire.pumping(), writing() as written:
            for _ in range(2):
                run(rebuild_command.Command(send=wire.ask), ORDERS)
        right = {row["id"]: row["status"] for row in shown()["orders"]}
        assert set(order_ids) | {order_id for order_id, _ in written} == set(right)
        assert all(right[order_id] == status for order_id, status in written)
        assert reconciled(wire).status == 0
        assert not DeadLetter.objects.using(LISTENER).exists()

    def test_puts_the_shadows_parked_messages_in_place_of_the_live_ones(
        self, wire: Wire, order_ids: list[UUID]
    ) -> None:
        # The cancellation of an order that has an entry of that kind already: poison until that is removed.
        wire.pump()
        DeadLetter.objects.using(LISTENER).create(
            subscription=ORDERS, source=SOURCE, audience="all", partition=0, position=1, key="k", name="n", body="{}"
        )
        with pytest.raises(CommandError, match="differ"):
            rebuilt(wire)
        assert DeadLetter.objects.using(LISTENER).count() == 1
        printed = rebuilt(wire, "--accept-difference")
        assert "messages parked" in printed.stdout
        assert not DeadLetter.objects.using(LISTENER).exists()

    def test_cures_a_projection_whose_producer_has_another_history(self, wire: Wire, order_ids: list[UUID]) -> None:
        forget_the_end()
        for _ in range(30):
            place("C")
        wire.pump()
        assert Cursor.State.DIVERGED in {state for _, _, state in positions()}
        rebuilt(wire, "--accept-difference")
        assert {state for _, _, state in positions()} == {Cursor.State.ACTIVE}
        latest = place("D")
        wire.pump()
        assert OrderSummary.objects.filter(pk=latest).exists()
        assert reconciled(wire).status == 0

    def test_ends_after_a_restore_although_a_late_batch_knew_of_more(self, wire: Wire, order_ids: list[UUID]) -> None:
        for _ in range(30):
            place("C")
        wire.relay.step()
        # Messages that follow the backup's last one would be applied: they belong to both histories until the next one.
        late = [batch for batch in wire.batches if decode(batch.body)[0].first > 2]
        wire.batches.clear()
        forget_the_end()
        for _ in range(8):
            place("D")
        wire.pump()
        Cursor.objects.using(LISTENER).filter(subscription=ORDERS).update(state=Cursor.State.DIVERGED)

        def send(requests: Sequence[CatchUp]) -> None:
            wire.answer(requests)
            wire.batches += late
            late.clear()
            wire.pump()

        run(rebuild_command.Command(send=send), ORDERS, "--accept-difference", "--patience", "3")
        assert {state for _, _, state in positions()} == {Cursor.State.ACTIVE}
        heads = Cursor.objects.using(LISTENER).filter(subscription=ORDERS).values_list("partition", "head")
        assert dict(heads) == dict(Stream.objects.using(SOURCE).values_list("partition", "head"))


class TestAShadow:
    def test_is_found_by_no_worker_before_it_is_whole(self, wire: Wire, order_ids: list[UUID]) -> None:
        found: list[Shadow | None] = []
        created = self.create(lambda: found.append(shadows.of(projection, look_again=True)))
        assert found == [None]
        assert shadows.of(projection, look_again=True) == created

    def test_is_whole_for_a_worker_that_knows_the_former_one(self, wire: Wire, order_ids: list[UUID]) -> None:
        former = self.create(lambda: None)
        place("C")
        wire.relay.step()
        outcomes: list[str] = []

        def apply_in_former() -> None:
            batch, received = decode(wire.batches[0].body)
            try:
                with former.entered():
                    consume.apply(Delivery(projection.shadow, batch, received))
            except DatabaseError as error:
                outcomes.append(str(error))

        with structlog.testing.capture_logs() as logs:
            created = self.create(apply_in_former)
        assert "does not exist" in outcomes[0] or "unable to open" in outcomes[0]
        assert "database error retried" not in {line["event"] for line in logs}, "live batches would wait with it"
        with created.entered():
            assert set(Cursor.objects.using(LISTENER).values_list("position", flat=True)) == {0}

    @staticmethod
    def create(meanwhile: Callable[[], None]) -> Shadow:
        """A shadow; another thread does this work after its tables are created and before its cursors are."""

        class Cursors(list[Cursor]):
            def __iter__(self) -> Iterator[Cursor]:
                thread = threading.Thread(target=work)
                thread.start()
                thread.join()
                return super().__iter__()

        def work() -> None:
            try:
                meanwhile()
            finally:
                shadows.release(LISTENER)
                connections.close_all()

        cursors = Cursors(cut_over.cursors_at_0(projection.shadow, cut_over.streams_of(projection)))
        return shadows.create(projection, rows.creatable(rows.tables_of(projection)), cursors)


class TestADifferenceInTheCounts:
    @pytest.fixture(autouse=True)
    def lost(self, order_ids: list[UUID]) -> UUID:
        OrderLine.objects.filter(order_id=order_ids[0]).delete()
        TimelineEntry.objects.filter(order_id=order_ids[0]).delete()
        OrderSummary.objects.filter(pk=order_ids[0]).delete()
        return order_ids[0]

    def test_leaves_everything_unchanged(self, wire: Wire) -> None:
        before = shown()
        with pytest.raises(CommandError, match="left unchanged"):
            rebuilt(wire)
        assert shown() == before
        assert nothing_is_left()

    def test_can_be_accepted_beforehand(self, wire: Wire, lost: UUID) -> None:
        printed = rebuilt(wire, "--accept-difference")
        assert ["OrderSummary", "29", "30", "+1"] in table(printed)
        assert OrderSummary.objects.filter(pk=lost).exists()

    @pytest.mark.parametrize(("answer", "there"), [("y\n", True), ("n\n", False), ("", False)])
    def test_can_be_accepted_at_a_terminal(self, wire: Wire, lost: UUID, answer: str, there: bool) -> None:
        try:
            rebuilt(wire, stdin=Terminal(answer))
        except CommandError:
            assert not there
        assert OrderSummary.objects.filter(pk=lost).exists() == there


class TestAReader:
    @pytest.mark.usefixtures("postgresql_only")
    def test_sees_no_step_back_and_no_missing_row(self, wire: Wire, order_ids: list[UUID]) -> None:
        stop, seen = threading.Event(), [0]

        def read() -> None:
            known: dict[UUID, str] = {}
            last = 0
            try:
                while not stop.wait(0.01):
                    found = dict(OrderSummary.objects.values_list("id", "status"))
                    lines = OrderLine.objects.count()
                    assert known.keys() <= found.keys()
                    assert all(found[each] == "cancelled" for each, was in known.items() if was == "cancelled")
                    assert lines >= last
                    known, last = found, lines
                    seen[0] += 1
            finally:
                connections.close_all()

        with ThreadPoolExecutor() as pool, wire.pumping(), writing():
            reader = pool.submit(read)
            try:
                for _ in range(2):
                    run(rebuild_command.Command(send=wire.ask), ORDERS)
            finally:
                stop.set()
            reader.result(10)
        assert seen[0] > 10


class TestAReplay:
    def test_is_refused_while_another_one_runs(self, wire: Wire, order_ids: list[UUID]) -> None:
        with replay.replaying(projection, wire.answer):
            with pytest.raises(CommandError, match="one at a time"):
                rebuilt(wire)
            with pytest.raises(CommandError, match="one at a time"):
                reconciled(wire)
        rebuilt(wire)

    def test_of_a_reaction_is_refused(self) -> None:
        with pytest.raises(Refused, match="is a Reaction"):
            replay.replayable(Reaction("web_bff.mails", begins="start"))

    def test_of_an_unknown_projection_names_those_there_are(self, wire: Wire) -> None:
        with pytest.raises(CommandError, match=r"There are: .*web_bff\.orders"):
            run(rebuild_command.Command(send=wire.answer), "web_bff.nonsense")

    def test_shows_what_is_lost_when_the_beginning_was_deleted(self, wire: Wire, order_ids: list[UUID]) -> None:
        before = shown()
        stream = Stream.objects.using(SOURCE).filter(head__gt=1).order_by("partition")[0]
        first = OutboxMessage.objects.using(SOURCE).get(partition=stream.partition, position=1)
        Stream.objects.using(SOURCE).filter(pk=stream.pk).update(floor=1, floor_id=first.message_id)
        first.delete(using=SOURCE)
        with pytest.raises(CommandError, match="left unchanged"):
            rebuilt(wire)
        assert shown() == before
        assert nothing_is_left()

    def test_that_nothing_comes_to_is_given_up(self, wire: Wire, order_ids: list[UUID]) -> None:
        with pytest.raises(CommandError, match=r"Relay and worker are inside `manage\.py runserver`"):
            run(rebuild_command.Command(send=lambda _: None), ORDERS, "--patience", "0.2")
        assert nothing_is_left()

    def test_names_what_may_be_missing_long_before_it_gives_up(
        self, wire: Wire, order_ids: list[UUID], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(replaying, "HINT_AFTER", 0.2)
        printed = io.StringIO()
        with pytest.raises(CommandError, match="The projection is unchanged"):
            call_command(rebuild_command.Command(send=lambda _: None), ORDERS, "--patience=1", stderr=printed)
        hints = [line for line in printed.getvalue().splitlines() if "Still waiting" in line]
        assert len(hints) == 1
        assert "is it running?" in hints[0]

    def test_asks_again_for_what_does_not_arrive(self, wire: Wire, order_ids: list[UUID]) -> None:
        calls: list[int] = []

        def forgetful(requests: Sequence[CatchUp]) -> None:
            calls.append(len(requests))
            if len(calls) > 1:
                wire.answer(requests)

        right = shown()
        run(rebuild_command.Command(send=forgetful), ORDERS)
        assert len(calls) > 1
        assert shown() == right

    def test_waits_for_a_worker_that_is_busy(self, wire: Wire, order_ids: list[UUID]) -> None:
        right = shown()
        calls: list[int] = []

        def late(requests: Sequence[CatchUp]) -> None:
            calls.append(len(requests))
            if len(calls) > 1:
                wire.answer(requests)

        with handling_on_and_on():
            run(rebuild_command.Command(send=late), ORDERS, "--patience", "0.3")
        assert shown() == right

    def test_prints_no_percentage_before_anything_is_known(self, wire: Wire, order_ids: list[UUID]) -> None:
        Cursor.objects.using(LISTENER).all().delete()
        Stream.objects.using(SOURCE).all().delete()
        printed = rebuilt(wire, "--accept-difference")
        assert "%" not in printed.stderr

    @pytest.mark.usefixtures("postgresql_only")
    def test_goes_on_after_the_database_was_restarted(self, wire: Wire, order_ids: list[UUID]) -> None:
        right = shown()
        restarted: list[int] = []

        def restart(requests: Sequence[CatchUp]) -> None:
            if not restarted:
                restarted.append(end_all_sessions())
            wire.answer(requests)

        printed = run(rebuild_command.Command(send=restart), ORDERS)
        assert restarted[0] > 1
        assert "is rebuilt" in printed.stdout
        assert shown() == right
        assert nothing_is_left()

    @pytest.mark.usefixtures("postgresql_only")
    def test_ends_without_a_traceback_while_the_database_is_away(self, wire: Wire, order_ids: list[UUID]) -> None:
        connection = connections[LISTENER]
        before = dict(connection.settings_dict)

        def stop(_: Sequence[CatchUp]) -> None:
            connection.close()
            connection.settings_dict |= {"HOST": "127.0.0.1", "PORT": str(free_port())}

        try:
            with pytest.raises(CommandError, match=r"does not answer.*Run the command again"):
                run(rebuild_command.Command(send=stop), ORDERS, "--patience", "0.2")
        finally:
            connection.settings_dict |= before
        assert not nothing_is_left()

    def test_that_was_killed_leaves_the_live_tables_and_can_be_run_again(
        self, wire: Wire, order_ids: list[UUID]
    ) -> None:
        cursors = cut_over.cursors_at_0(projection.shadow, cut_over.streams_of(projection))
        shadow = shadows.create(projection, rows.creatable(rows.tables_of(projection)), cursors)
        latest = place("C")
        wire.pump()
        assert OrderSummary.objects.filter(pk=latest).exists()
        right = shown()
        rebuilt(wire)
        assert shown() == right
        assert nothing_is_left()
        assert shadows.of(projection, look_again=True) is None
        # The worker of another process may trust that it exists for a second; the live tables are not affected.
        with pytest.raises(Exception, match=r"does not exist|no such table|unable to open"), shadow.entered():
            OrderSummary.objects.count()

    def test_that_fails_while_it_replaces_changes_nothing(self, wire: Wire, order_ids: list[UUID]) -> None:
        OrderSummary.objects.filter(pk=order_ids[0]).update(total_amount=1)
        before = shown()

        def replace_and_fail(moment: CutOver) -> None:
            rows.replace(projection, moment.prefix)
            raise KeyboardInterrupt

        with replay.replaying(projection, wire.answer) as running, pytest.raises(KeyboardInterrupt):
            running.at_equal_cursors(replace_and_fail)
        assert shown() == before
        assert nothing_is_left()

    def test_cannot_touch_what_is_not_the_projections(self, wire: Wire, order_ids: list[UUID]) -> None:
        Profile.objects.create(user_id=UUID(int=1), email="ada@example.com", full_name="Ada")
        with replay.replaying(projection, wire.ask):
            shadow = shadows.of(projection, look_again=True)
            assert shadow
            with pytest.raises(Exception, match=r"does not exist|no such table"), shadow.entered():
                Profile.objects.update(email="")
        assert Profile.objects.get().email == "ada@example.com"

    def test_is_no_subscriber_once_it_is_over(self, wire: Wire, order_ids: list[UUID]) -> None:
        rebuilt(wire)
        place("C")
        wire.relay.step()
        late = [replace(batch) for batch in wire.batches]
        for batch in late:
            consume.receive(LISTENER, batch.body.replace(b'"to":null', b'"to":"web_bff.orders~shadow"'))
        assert OrderSummary.objects.count() == 30
        wire.pump()
        assert OrderSummary.objects.count() == 31


@contextmanager
def handling_on_and_on() -> Iterator[None]:
    """Another subscription of the module takes messages meanwhile, one after the other."""
    stop = threading.Event()
    stream = {"subscription": "web_bff.profiles", "source": "users", "audience": "all", "partition": 0}
    Cursor.objects.using(LISTENER).create(**stream)

    def work() -> None:
        try:
            while not stop.wait(0.02):
                Cursor.objects.using(LISTENER).filter(**stream).update(position=F("position") + 1)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def end_all_sessions() -> int:
    """End the sessions of both databases, as a restart does. Returns how many there were."""
    ended = 0
    for alias in (LISTENER, SOURCE):
        with closing(direct.connect(alias, as_role=False)) as session:
            query = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            ended += len(session.execute(query).fetchall())
    connections[SOURCE].close()
    return ended


class TestReconcile:
    def test_finds_nothing_where_nothing_is_wrong(self, wire: Wire, order_ids: list[UUID]) -> None:
        printed = reconciled(wire)
        assert (printed.status, printed.stdout) == (0, "web_bff.orders equals a replay of its streams.\n")
        assert nothing_is_left()

    def test_finds_what_was_changed_added_and_removed(self, wire: Wire, order_ids: list[UUID]) -> None:
        OrderSummary.objects.filter(pk=order_ids[1]).update(total_amount=7)
        OrderLine.objects.filter(order_id=order_ids[2], sku="B").delete()
        invented = OrderSummary.objects.get(pk=order_ids[1])
        invented.pk = UUID(int=7)
        invented.save(force_insert=True)
        before = shown()
        printed = reconciled(wire)
        assert printed.status == 1
        lines = printed.stdout.splitlines()
        assert any(
            line.startswith("wrong OrderSummary") and line.endswith("total_amount is 7, should be 2000")
            for line in lines
        )
        assert any(line.startswith("superfluous OrderSummary") for line in lines)
        assert any(line.startswith("missing OrderLine: ") and "sku 'B'" in line for line in lines)
        assert "UUID(" not in printed.stdout
        assert "datetime" not in printed.stdout
        assert "OrderLine: 59 found, 60 expected" in lines
        assert lines[-1].startswith("web_bff.orders: 3 rows differ.")
        assert (shown(), nothing_is_left()) == (before, True)

    @pytest.mark.parametrize("is_lost", [True, False], ids=["a missing row", "a wrong row"])
    def test_advises_a_command_that_corrects_what_it_found(
        self, wire: Wire, order_ids: list[UUID], is_lost: bool
    ) -> None:
        right, damaged = shown(), OrderSummary.objects.filter(pk=order_ids[1])
        _ = damaged.delete() if is_lost else damaged.update(total_amount=7)
        (command,) = re.findall(r"`manage\.py rebuild (.+)`", reconciled(wire).stdout)

        run(rebuild_command.Command(send=wire.answer), *command.split())
        assert shown() == right
        assert reconciled(wire).status == 0

    def test_prints_no_more_than_its_limit(self, wire: Wire, order_ids: list[UUID]) -> None:
        OrderSummary.objects.update(total_amount=7)
        printed = reconciled(wire, "--limit", "5")
        assert sum(line.startswith("wrong OrderSummary") for line in printed.stdout.splitlines()) == 5
        assert "... and 25 more differences" in printed.stdout


class TestAProjectionThatNamesNoModels:
    def test_cannot_be_replayed(self) -> None:
        with pytest.raises(Exception, match="does not name the models"):
            replay.replayable(Projection("web_bff.vague"))


class TestWhatAProjectionKeeps:
    def test_is_declared_without_a_problem_by_every_module(self) -> None:
        subscriptions = [each for module in modules.installed() for each in module.load_subscriptions()]
        found = [each for each in subscriptions if isinstance(each, Projection)]
        assert list(ownership.problems(found)) == []
        assert all(each.models for each in found)

    @pytest.mark.parametrize(
        ("owned", "problem"),
        [
            ((("Nonsense",),), "names Nonsense, which is no model of web_bff"),
            ((("Profile",), ("Profile",)), "both keep Profile"),
            ((("OrderLine", "TimelineEntry"),), "OrderLine.order relates the models of"),
            ((("OrderSummary",),), "OrderLine.order relates the models of"),
        ],
    )
    def test_is_the_projections_alone(self, owned: tuple[tuple[str, ...], ...], problem: str) -> None:
        projections = [Projection(f"web_bff.number_{n}", models=names) for n, names in enumerate(owned)]
        assert problem in " ".join(text for _, text in ownership.problems(projections))
