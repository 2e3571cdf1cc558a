"""Django's everyday commands need no --database, and the kernel's own commands name the problem."""

import io
import json
import re
import secrets
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command, load_command_class
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from psycopg import sql
from pytest_django import Settings

from pangaea import modules
from pangaea.databases import aliases
from pangaea.outbox.models import Stream
from pangaea.pages.start import OPERATOR
from pangaea.testing.databases import scratch_database
from tests.processes import workspace

MODULE = "users"

pytestmark = pytest.mark.django_db(databases="__all__")


def output_of(command: str, *arguments: str, **options: object) -> str:
    """The output of a command."""
    stream = io.StringIO()
    call_command(command, *arguments, stdout=stream, no_color=True, **options)
    return stream.getvalue()


def forget_last_migration(alias: str, label: str) -> str:
    """Mark the app's last migration as unapplied on an alias; returns its name."""
    recorder = MigrationRecorder(connections[alias])
    name = max(name for app, name in recorder.applied_migrations() if app == label)
    recorder.record_unapplied(label, name)
    return name


class TestMigrate:
    def test_with_check_passes_when_every_alias_is_up_to_date(self) -> None:
        output_of("migrate", "--check")

    def test_with_check_fails_when_any_alias_is_behind(self) -> None:
        forget_last_migration(modules.labels()[-1], "pangaea")
        with pytest.raises(SystemExit) as ended:
            output_of("migrate", "--check")
        assert ended.value.code == 1

    def test_with_plan_shows_what_it_would_do_to_which_alias(self) -> None:
        alias = modules.labels()[-1]
        name = forget_last_migration(alias, "pangaea")
        planned = output_of("migrate", "--plan", "pangaea").split(f"{alias}: pangaea")
        assert f"pangaea.{name}" not in planned[0]
        assert f"pangaea.{name}" in planned[1]

    def test_with_an_apps_label_touches_the_aliases_that_hold_it(self) -> None:
        printed = output_of("migrate", "pangaea")
        headings = [line for line in printed.splitlines() if line.endswith(": pangaea") and not line.startswith(" ")]
        assert headings == [f"{label}: pangaea" for label in modules.labels()]
        assert "default: auth" in output_of("migrate", "auth")

    def test_of_no_app_is_refused(self) -> None:
        with pytest.raises(CommandError, match=r"No installed app with label 'nonsense'\."):
            output_of("migrate", "nonsense")

    def test_of_an_app_on_another_alias_is_refused_and_names_it(self) -> None:
        label = modules.labels()[0]
        with pytest.raises(CommandError, match=f"not in 'default' but in {label}"):
            output_of("migrate", label, "--database=default")

    def test_prints_nothing_at_verbosity_0(self) -> None:
        assert output_of("migrate", verbosity=0) == ""


class TestMigrateOnAnEmptyDatabase:
    """In a process of its own, as it is deployed: one module, PostgreSQL."""

    @pytest.mark.full
    def test_creates_everything_and_migrates_back_and_forth(self, postgres_url: str, tmp_path: Path) -> None:
        with scratch_database(postgres_url) as url, workspace(tmp_path) as space:
            deployed = environment(url)
            with pytest.raises(AssertionError, match="ended with 1"):
                space.manage("migrate", "--check", environment=deployed)
            assert "CREATE SCHEMA" in space.manage("migrate", "--plan", environment=deployed)
            assert tables(url, MODULE) == set(), "looking changes nothing"

            space.manage("migrate", environment=deployed)
            space.manage("migrate", "--check", environment=deployed)
            made = tables(url, MODULE)
            assert {f"{MODULE}_account", "pangaea_outbox", "django_migrations"} <= made
            assert not made & tables(url, "ops") - {"django_migrations"}

            space.manage("migrate", MODULE, "zero", environment=deployed)
            assert tables(url, MODULE) == {name for name in made if not name.startswith(f"{MODULE}_")}
            space.manage("migrate", MODULE, environment=deployed)
            assert tables(url, MODULE) == made

    def test_without_the_right_to_create_prints_the_sql(self, postgres_url: str, tmp_path: Path) -> None:
        with scratch_database(postgres_url) as url, workspace(tmp_path) as space:
            address = urlsplit(url)
            poor = f"{address.path.strip('/')}_poor"
            with psycopg.connect(url, autocommit=True) as owner:
                owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'poor'").format(sql.Identifier(poor)))
            location = address.netloc.rpartition("@")[2]
            deployed = environment(urlunsplit(address._replace(netloc=f"{poor}:poor@{location}")))

            with pytest.raises(AssertionError, match="Let an administrator run") as refusal:
                space.manage("migrate", environment=deployed)
            statements = str(refusal.value).rpartition("Let an administrator run:\n")[2]
            administrators = urlunsplit(urlsplit(postgres_url)._replace(path=address.path))
            with psycopg.connect(administrators, autocommit=True) as administrator:
                administrator.execute(statements.encode())
            space.manage("migrate", environment=deployed)
            assert "pangaea_outbox" in tables(url, MODULE, user=postgres_url)


def environment(database_url: str) -> dict[str, str]:
    """The settings of a deployment of one module, of which no other process runs."""
    return {
        "DJANGO_SETTINGS_MODULE": "pangaea.settings.monolith",
        "PANGAEA_MODULES": MODULE,
        "DATABASE_URL": database_url,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": "127.0.0.1",
        "BROKER_URL": "amqp://127.0.0.1:1//",
        "JWKS_URL": "https://users.example/.well-known/jwks.json",
    }


def tables(database_url: str, schema: str, *, user: str | None = None) -> set[str]:
    """The tables of a schema, as the database's owner or `user` sees them."""
    address = urlsplit(user or database_url)._replace(path=urlsplit(database_url).path)
    with psycopg.connect(urlunsplit(address)) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]).fetchall()
    return {name for (name,) in rows}


class TestShowmigrations:
    def test_lists_every_alias_with_its_own_apps(self) -> None:
        shown = output_of("showmigrations")
        places = [shown.index(f"[{alias}]") for alias in aliases.installed()]
        assert places == sorted(places)
        assert shown.count("\npangaea\n") == len(modules.labels())
        assert shown.count("\nauth\n") == 1
        assert "[ ]" not in shown

    def test_lists_one_app_where_it_lives(self) -> None:
        label = modules.labels()[0]
        shown = output_of("showmigrations", label)
        assert f"[{label}]" in shown
        assert "[default]" not in shown

    def test_of_no_app_is_refused(self) -> None:
        with pytest.raises(CommandError, match="No installed app with label 'nonsense'"):
            output_of("showmigrations", "nonsense")


@pytest.mark.parametrize("name", ["runserver", "createsuperuser", "changepassword"])
class TestCommandsThatNeedTheirTables:
    def test_warn_of_every_alias_that_is_behind(self, name: str) -> None:
        behind, *others = modules.labels()
        forget_last_migration(behind, "pangaea")
        assert warning(name) == f"\nUnapplied migrations for {behind}. Run 'python manage.py migrate'.\n"
        forget_last_migration("default", "auth")
        assert f"for default, {behind}." in warning(name)
        assert not any(other in warning(name) for other in others)

    def test_print_nothing_when_all_are_up_to_date(self, name: str) -> None:
        assert warning(name) == ""


def warning(name: str) -> str:
    """The part of a command's output about migrations."""
    stream = io.StringIO()
    command = load_command_class("pangaea", name)
    command.stdout = OutputWrapper(stream)
    command.style = no_style()
    command.check_migrations()
    return stream.getvalue()


class TestSeedDemo:
    def test_adds_nothing_the_second_time(self, settings: Settings) -> None:
        settings.PANGAEA_IN_PROCESS = True
        first = output_of("seed_demo")
        before = everything()
        assert output_of("seed_demo").count("\n") == first.count("\n")
        assert everything() == before
        assert get_user_model()._default_manager.filter(username=OPERATOR, is_superuser=True).count() == 1

    def test_brings_no_password_outside_the_local_profile(self, settings: Settings) -> None:
        settings.PANGAEA_IN_PROCESS = False
        assert "password" not in output_of("seed_demo")
        assert not get_user_model()._default_manager.exists()
        assert "password" not in json.dumps(everything())

    def test_brings_log_ins_to_a_deployment_of_this_machine_that_asks_for_them(self, settings: Settings) -> None:
        settings.PANGAEA_IN_PROCESS = False
        settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
        assert output_of("seed_demo", "--log-ins").count("password") == 1 + sum(
            len(module.demo_log_ins) for module in modules.installed()
        )

    @pytest.mark.parametrize("host", ["shop.example", "*", ".localhost", "10.0.0.1", "0.0.0.0"])  # noqa: S104 - not bound
    def test_refuses_log_ins_where_others_may_log_in(self, settings: Settings, host: str) -> None:
        settings.PANGAEA_IN_PROCESS = False
        settings.ALLOWED_HOSTS = ["localhost", host]
        before = everything()
        with pytest.raises(CommandError, match=rf"ALLOWED_HOSTS has {re.escape(host)}: accounts with public passwords"):
            output_of("seed_demo", "--log-ins")
        assert everything() == before


def everything() -> dict[str, list[object]]:
    """Every row of the modules and of the operators' app, except messages in flight."""
    found = {}
    for alias in aliases.installed():
        labels = [label for label in aliases.apps_of(alias) if label in {"ops", alias}]
        found[alias] = json.loads(output_of("dumpdata", *labels, database=alias))
    return found


class TestRelayAndWorker:
    @pytest.mark.parametrize("command", ["relay", "worker"])
    def test_refuse_an_unknown_module_by_name(self, command: str) -> None:
        installed = ", ".join(modules.labels())
        with pytest.raises(CommandError, match=rf"no module 'nowhere' in this process\. Installed: {installed}"):
            output_of(command, "--module=nowhere")

    def test_refuse_an_unknown_queue_and_name_those_there_are(self) -> None:
        with pytest.raises(CommandError, match=r"No such queue: letters\. There are: .*orders\.inbox\.0"):
            output_of("worker", "--queue=letters")


class TestDjangosEverydayCommands:
    def test_createsuperuser_makes_an_operator(self) -> None:
        output_of("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.com")
        assert get_user_model()._default_manager.get(username="ada").is_superuser

    def test_dumpdata_reads_the_operators(self) -> None:
        get_user_model()._default_manager.create_user(username="ada", email="ada@example.com", password=None)
        (row,) = json.loads(output_of("dumpdata", "ops"))
        assert row["fields"]["username"] == "ada"

    def test_flush_empties_the_operators_and_no_module(self) -> None:
        label = modules.labels()[0]
        get_user_model()._default_manager.create_user(username="ada", email="ada@example.com", password=None)
        Stream.objects.using(label).create(audience="test", partition=0, partitions=8)
        output_of("flush", "--noinput")
        assert not get_user_model()._default_manager.exists()
        assert Stream.objects.using(label).filter(audience="test").exists()

    def test_makemigrations_finds_nothing_to_do(self) -> None:
        assert "No changes" in output_of("makemigrations", "--check", "--dry-run")

    def test_check_looks_at_every_database(self) -> None:
        assert "no issues" in output_of("check", *(f"--database={alias}" for alias in aliases.installed()))
