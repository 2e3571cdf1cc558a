"""Django's commands with `--database`: they reach the module's schema with its role, or fail with the right alias."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg.conninfo import conninfo_to_dict

from pangaea.addresses import postgresql as address
from pangaea.databases import aliases
from pangaea.databases.engines.postgresql.client import DatabaseClient
from pangaea.outbox.models import OutboxMessage, Stream
from pangaea.servers import postgresql

ALIAS = "orders"
STREAM = {"model": "pangaea.stream", "pk": 1, "fields": {"audience": "test", "partition": 0, "partitions": 8}}

pytestmark = pytest.mark.django_db(databases="__all__")


def output_of(command: str, *arguments: str, **options: Any) -> str:
    stream = StringIO()
    call_command(command, *arguments, stdout=stream, no_color=True, **options)
    return stream.getvalue()


@pytest.mark.usefixtures("postgresql_only")
class TestDbshell:
    @pytest.fixture(autouse=True)
    def psql(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(postgresql.client("psql").parent), prepend=":")
        monkeypatch.setenv("PGOPTIONS", "-c search_path=public")

    @pytest.mark.parametrize("alias", aliases.installed())
    def test_is_in_the_schema_and_role_of_the_alias(self, alias: str, capfd: pytest.CaptureFixture[str]) -> None:
        query = "SELECT current_schema(), current_user"
        call_command("dbshell", "--database", alias, "--", "--no-psqlrc", "-At", "-c", query)
        expected = f"{aliases.schema_of(alias)}|{connections[alias].settings_dict['PANGAEA']['role']}\n"
        assert capfd.readouterr().out == expected

    def test_reaches_the_database_past_a_pooler(self) -> None:
        entry = connections[ALIAS].settings_dict
        direct = address.parse("postgres://me:secret@db1:5432,db2:5433/shop?target_session_attrs=read-write")
        pooled = {**entry, "HOST": "pooler", "PANGAEA": {**entry["PANGAEA"], "direct": direct}}
        arguments, environment = DatabaseClient.settings_to_cmd_args_env(pooled, ["-At"])
        assert arguments[2:] == ["-At"]
        found = conninfo_to_dict(arguments[1].removeprefix("--dbname="))
        assert (found["host"], found["port"], found["dbname"], found["user"]) == ("db1,db2", "5432,5433", "shop", "me")
        assert found["target_session_attrs"] == "read-write"
        assert "search_path=orders" in str(found["options"])
        assert environment == {"PGPASSWORD": "secret"}
        assert "secret" not in arguments[1]

    def test_is_refused_where_the_connections_of_the_alias_are(self) -> None:
        entry = connections[ALIAS].settings_dict
        options, entry["OPTIONS"]["options"] = entry["OPTIONS"]["options"], ""
        connections[ALIAS].close()
        try:
            with pytest.raises(CommandError, match="search_path is"):
                call_command("dbshell", database=ALIAS)
        finally:
            entry["OPTIONS"]["options"] = options


class TestACommandForAnApp:
    """Without the right alias Django's commands succeed and do nothing."""

    @pytest.mark.parametrize(
        "command",
        [
            ["dumpdata", "orders"],
            ["dumpdata", "orders.Product", "--database=users"],
            ["dumpdata", "pangaea"],
            ["sqlmigrate", "orders", "0001"],
            ["sqlsequencereset", "pangaea"],
            ["sqlsequencereset", "users", "--database=orders"],
        ],
    )
    def test_names_the_alias_that_has_its_tables(self, command: list[str]) -> None:
        with pytest.raises(CommandError, match=r"The tables of '\w+' are not in '\w+' but in .*: use --database="):
            output_of(*command)

    @pytest.mark.parametrize("command", ["createsuperuser", "changepassword"])
    def test_for_operators_is_refused_at_a_modules_alias(self, command: str) -> None:
        with pytest.raises(CommandError, match="use --database=default"):
            output_of(command, database=ALIAS, username="ada")
        assert not get_user_model()._default_manager.exists()

    @pytest.mark.django_db(databases="__all__", transaction=True)
    def test_at_its_alias_works(self) -> None:
        assert "orders_product" in output_of("sqlmigrate", "orders", "0001", database=ALIAS)
        output_of("sqlsequencereset", "pangaea", database=ALIAS)
        assert json.loads(output_of("dumpdata", "pangaea", database=ALIAS)) == []


class TestLoaddata:
    @pytest.fixture
    def fixture(self, tmp_path: Path) -> str:
        path = tmp_path / "rows.json"
        path.write_text(json.dumps([STREAM]))
        return str(path)

    def test_writes_to_the_alias_alone(self, fixture: str) -> None:
        output_of("loaddata", fixture, database=ALIAS)
        assert [Stream.objects.using(label).count() for label in (ALIAS, "users")] == [1, 0]
        [row] = json.loads(output_of("dumpdata", database=ALIAS))
        assert row["fields"]["audience"] == "test"

    def test_is_refused_where_the_table_is_in_another_alias(self, fixture: str) -> None:
        with pytest.raises(CommandError, match=r"The tables of 'pangaea' are not in 'default' but in orders"):
            output_of("loaddata", fixture)

    def test_leaves_out_what_is_excluded(self, fixture: str) -> None:
        output_of("loaddata", fixture, exclude=["pangaea"])


class TestACommandForAnAlias:
    def test_sees_the_tables_of_the_alias_alone(self) -> None:
        for command in ("inspectdb", "sqlflush"):
            printed = {alias: output_of(command, database=alias) for alias in aliases.installed()}
            for alias, text in printed.items():
                assert ("ops_operator" in text) is (alias == DEFAULT_DB_ALIAS), (command, alias)
                assert ("orders_product" in text) is (alias == ALIAS), (command, alias)

    def test_flush_empties_the_alias_alone(self) -> None:
        row = {"audience": "all", "key": "k", "name": "x.y", "body": "{}"}
        for number, label in enumerate((ALIAS, "users")):
            OutboxMessage.objects.using(label).create(message_id=f"{number}" * 32, **row)
        output_of("flush", "--noinput", database=ALIAS)
        assert [OutboxMessage.objects.using(label).count() for label in (ALIAS, "users")] == [0, 1]
