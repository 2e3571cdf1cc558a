"""A command that fails because a server does not answer: one line, and an exit code for a later attempt."""

import os
import subprocess
from pathlib import Path

import pytest
from django.db import DatabaseError
from joserfc.jwk import ECKey

from pangaea.errors import Unavailable
from pangaea.management import not_now
from pangaea.testing import free_port
from tests.acceptance.topologies import monolith_environment
from tests.kernel.failing import DEADLOCK, NO_COLUMN, READ_ONLY, fail_by
from tests.kernel.pipeline import LISTENER
from tests.processes import MANAGE, ROOT, explicit


class TestTheLine:
    @pytest.mark.django_db(databases=[LISTENER])
    @pytest.mark.parametrize("sqlstate", [DEADLOCK, READ_ONLY])
    def test_names_the_database_that_does_not_serve(self, sqlstate: str) -> None:
        with pytest.raises(DatabaseError) as caught:
            fail_by(sqlstate)
        line = not_now.explain(caught.value)
        assert line
        assert LISTENER in line
        assert "\n" not in line

    @pytest.mark.django_db(databases=[LISTENER])
    def test_is_not_for_mistakes(self) -> None:
        with pytest.raises(DatabaseError) as caught:
            fail_by(NO_COLUMN)
        assert not_now.explain(caught.value) is None
        assert not_now.explain(ValueError("a bug")) is None

    def test_is_for_every_other_server_too(self) -> None:
        assert not_now.explain(Unavailable("the broker is away")) == "the broker is away. Try again later."


@pytest.mark.full
class TestACommand:
    @pytest.mark.parametrize(
        "command",
        [("prune",), ("showmigrations",), ("deadletters", "list"), ("snapshot", "orders.product"), ("clearsessions",)],
        ids=" ".join,
    )
    def test_prints_one_line_while_its_database_is_away(self, command: tuple[str, ...]) -> None:
        nowhere = f"postgres://shop:secret@127.0.0.1:{free_port()}/shop"
        environment = monolith_environment(
            database_url=nowhere, broker_url="amqp://127.0.0.1:1//", signing_key=ECKey.generate_key("P-256")
        )
        done = subprocess.run(
            [*MANAGE, *command], cwd=ROOT, env=explicit(environment), capture_output=True, text=True, check=False
        )
        assert done.returncode == os.EX_TEMPFAIL
        assert len(done.stderr.splitlines()) == 1
        assert "does not serve this command now" in done.stderr
        assert "secret" not in done.stderr

    @pytest.mark.parametrize(
        "command",
        [("prune",), ("seed_demo",), ("deadletters", "list"), ("reconcile", "web_bff.orders")],
        ids=" ".join,
    )
    def test_names_migrate_where_there_are_no_tables(self, command: tuple[str, ...], tmp_path: Path) -> None:
        environment = {"DJANGO_SETTINGS_MODULE": "pangaea.settings.local", "LOCAL_STATE_DIR": str(tmp_path)}
        done = subprocess.run(
            [*MANAGE, *command], cwd=ROOT, env=explicit(environment), capture_output=True, text=True, check=False
        )
        assert done.returncode == os.EX_TEMPFAIL
        assert "Traceback" not in done.stderr
        assert "`manage.py migrate` creates it" in done.stderr.splitlines()[-1]
