"""Migrations create the triggers, and missing triggers are reported."""

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connections, models
from pytest_django import Settings

from pangaea import modules
from pangaea.change_capture import triggers
from pangaea.health.readiness import Readiness
from pangaea.outbox.models import Stream
from pangaea.outbox.relay import Relay
from pangaea.testing import published, wait_until
from tests.kernel.capturing import SOURCE, Specimen, captured_table

pytestmark = pytest.mark.django_db(databases=[SOURCE], transaction=True)

UPDATE = "pangaea_capture_orders_specimen_update"


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Declare these tests' table in the module, until the tests end."""
    config = modules.named(SOURCE)
    with captured_table():
        monkeypatch.setattr(config, "captures", (*config.captures, "tests.kernel.capturing.specimens"))
        yield
        monkeypatch.undo()


def drop(trigger: str = UPDATE) -> None:
    with connections[SOURCE].cursor() as cursor:
        if connections[SOURCE].vendor == "postgresql":
            cursor.execute(f"DROP TRIGGER {trigger} ON orders_specimen")
        else:
            cursor.execute(f"DROP TRIGGER {trigger}")


def migrate() -> None:
    call_command("migrate", database=SOURCE, verbosity=0, stdout=io.StringIO())


class TestTriggers:
    def test_are_created_again_by_migrate(self) -> None:
        drop()
        assert triggers.faults(SOURCE) == [f"The trigger {UPDATE} is missing."]
        migrate()
        assert triggers.faults(SOURCE) == []
        Specimen.objects.create(code="A")
        Specimen.objects.update(title="x")
        assert [message.payload["op"] for message in published(SOURCE)] == ["create", "update"]

    def test_survive_a_migration_that_rebuilds_the_table(self) -> None:
        triggers.before_migrate(using=SOURCE, plan=["a migration"])
        with connections[SOURCE].schema_editor() as editor:
            editor.alter_field(Specimen, Specimen._meta.get_field("title"), required_title())
        triggers.after_migrate(using=SOURCE)
        assert triggers.faults(SOURCE) == []
        Specimen.objects.create(code="A", title="x")
        assert [message.key for message in published(SOURCE)] == ["A"]

    def test_of_no_declaration_are_removed_by_migrate(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(modules.named(SOURCE), "captures", modules.named(SOURCE).captures[:-1])
        assert f"The trigger {UPDATE} belongs to no declaration." in triggers.faults(SOURCE)
        migrate()
        assert triggers.faults(SOURCE) == []
        Specimen.objects.create(code="A")
        assert published(SOURCE) == []

    @pytest.mark.usefixtures("postgresql_only")
    def test_that_were_disabled_or_rewritten_are_reported(self) -> None:
        with connections[SOURCE].cursor() as cursor:
            cursor.execute(f"ALTER TABLE orders_specimen DISABLE TRIGGER {UPDATE}")
            assert triggers.faults(SOURCE) == [f"The trigger {UPDATE} is not as declared."]
            cursor.execute(f"ALTER TABLE orders_specimen ENABLE TRIGGER {UPDATE}")
            assert triggers.faults(SOURCE) == []
            cursor.execute(
                f"CREATE OR REPLACE FUNCTION {UPDATE}() RETURNS trigger LANGUAGE plpgsql "
                "SET search_path = orders, pg_temp AS $$ BEGIN RETURN NULL; END $$"
            )
        assert triggers.faults(SOURCE) == [f"The trigger {UPDATE} is not as declared."]
        migrate()
        assert triggers.faults(SOURCE) == []

    def test_that_match_their_declarations_are_left_alone(self) -> None:
        assert not triggers.install(SOURCE, triggers.captures_of(SOURCE))

    @pytest.mark.usefixtures("postgresql_only")
    def test_have_functions_of_the_schema_with_a_fixed_path(self) -> None:
        with connections[SOURCE].cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT nspname::text, prosecdef, proconfig FROM pg_proc "
                "JOIN pg_namespace ON pg_namespace.oid = pronamespace WHERE proname LIKE 'pangaea\\_capture\\_%'"
            )
            assert cursor.fetchall() == [("orders", False, ["search_path=orders, pg_temp"])]


class TestStart:
    def test_is_refused_to_a_relay_while_a_trigger_is_missing(self) -> None:
        drop()
        with pytest.raises(CommandError, match=f"{UPDATE} is missing. Run `manage.py migrate`"):
            call_command("relay", module=[SOURCE])

    def test_is_an_error_of_the_system_check(self) -> None:
        drop()
        assert not [each for each in run_checks() if each.id == "pangaea.E014"]
        [error] = [each for each in run_checks(databases=[SOURCE]) if each.id == "pangaea.E014"]
        assert UPDATE in error.msg
        assert "manage.py migrate" in str(error.hint)

    def test_leaves_a_process_not_ready(self) -> None:
        drop()
        _, found = Readiness().check()
        assert found["migrations"][SOURCE] == "pending"  # type: ignore[index]
        migrate()
        _, found = Readiness().check()
        assert found["migrations"][SOURCE] == "ok"  # type: ignore[index]


class TestRelay:
    def test_finds_captured_changes(self, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_poll=timedelta(seconds=0.2))
        stop = threading.Event()
        relay = threading.Thread(target=Relay(SOURCE, lambda _: None).run, args=[stop])
        relay.start()
        try:
            for number in (1, 2, 3):
                Specimen.objects.bulk_create([Specimen(code=str(number))])
                wait_until(lambda: sent() == number, what="the relay to send")  # noqa: B023 - waited for at once
        finally:
            stop.set()
            relay.join(10)
            assert not relay.is_alive()


def required_title() -> "models.TextField[str, str]":
    """The field `title`, not nullable: a change for which SQLite rebuilds the table."""
    field: models.TextField[str, str] = models.TextField(default="nothing")
    field.set_attributes_from_name("title")
    field.model = Specimen
    return field


def sent() -> int:
    return sum(Stream.objects.using(SOURCE).values_list("sent", flat=True))
