"""The values in use, their sources and their problems, also where Django's settings refuse to load."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pangaea.configuration.values import redacted
from tests.kernel.configuration.test_settings import GOOD, ROOT

SERVICE = GOOD | {
    "DJANGO_SETTINGS_MODULE": "pangaea.settings.service",
    "PANGAEA_MODULES": "orders",
    "DATABASE_URL": "postgres://u:hunter2@h/d",
    "ORDERS_DATABASE_URL": "postgres://u:hunter2@own/d?sslpassword=hunter2",
    "BROKER_URL": "amqp://u:hunter2@one//;amqp://u:hunter@2@two//",
    "UNVERIFIED_HOSTS": "own,one,two",
}


def config(action: str, environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return manage("config", action, environ=environ)


def manage(*arguments: str, environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def rows(shown: str) -> dict[str, list[str]]:
    return {words[0]: words[1:] for words in map(str.split, shown.splitlines()) if words}


class TestShow:
    def test_names_the_source_of_every_value(self, tmp_path: Path) -> None:
        (tmp_path / "poll").write_text("3\n")
        shown = config(
            "show",
            SERVICE
            | {"ORDERS_RELAY_BATCH": "8", "RELAY_BATCH": "7", "RELAY_PASS": "9", "RELAY_POLL_FILE": f"{tmp_path}/poll"},
        )
        assert shown.returncode == 0
        found = rows(shown.stdout)
        assert found["RELAY_BATCH"] == ["8", "ORDERS_RELAY_BATCH"]
        assert found["RELAY_PASS"] == ["9", "RELAY_PASS"]
        assert found["RELAY_POLL"] == ["3s", f"RELAY_POLL_FILE={tmp_path}/poll"]
        assert found["QUEUE_LENGTH"] == ["10000", "default"]
        assert found["ORDERS_DATABASE_URL"][1] == "ORDERS_DATABASE_URL"

    def test_shows_what_the_profile_sets(self, tmp_path: Path) -> None:
        local = {"DJANGO_SETTINGS_MODULE": "pangaea.settings.local", "LOCAL_STATE_DIR": str(tmp_path)}
        assert rows(config("show", local).stdout)["RELAY_BATCH"] == ["50", "profile"]

    def test_shows_no_secret(self) -> None:
        shown = config("show", SERVICE)
        assert "hunter" not in shown.stdout + shown.stderr
        assert SERVICE["SECRET_KEY"] not in shown.stdout
        assert rows(shown.stdout)["BROKER_URL"][0] == "amqp://u:***@one//;amqp://u:***@two//"

    def test_shows_no_secret_that_has_a_url_in_it(self) -> None:
        secret = "hunter2://" + SERVICE["SECRET_KEY"]
        shown = config("show", SERVICE | {"SECRET_KEY": secret, "SECRET_KEY_FALLBACKS": secret})
        assert shown.returncode == 0
        assert "hunter" not in shown.stdout + shown.stderr
        assert rows(shown.stdout)["SECRET_KEY"] == ["***", "SECRET_KEY"]

    def test_names_the_variable_whose_file_cannot_be_read(self, tmp_path: Path) -> None:
        shown = config("show", SERVICE | {"RELAY_BATCH_FILE": f"{tmp_path}/absent"})
        assert rows(shown.stdout)["RELAY_BATCH"] == ["(malformed)", "RELAY_BATCH"]

    def test_works_where_the_settings_refuse_to_load(self) -> None:
        shown = config("show", SERVICE | {"RELAY_BATCH": "many", "SECRET_KEY": "hunter2", "DATABASE_URL": "hunter2"})
        assert shown.returncode == 0
        assert rows(shown.stdout)["RELAY_BATCH"] == ["(malformed)", "RELAY_BATCH"]
        assert "wrong: RELAY_BATCH is 'many'" in shown.stderr
        assert "hunter" not in shown.stdout + shown.stderr


class TestCheck:
    def test_accepts_a_whole_configuration(self) -> None:
        done = config("check", SERVICE)
        assert (done.returncode, done.stderr) == (0, "")
        assert "orders" in done.stdout

    def test_names_everything_at_once(self) -> None:
        done = config("check", {"DJANGO_SETTINGS_MODULE": "pangaea.settings.monolith", "RELAY_BATCH": "many"})
        assert done.returncode == 1
        for name in ("RELAY_BATCH", "SECRET_KEY", "ALLOWED_HOSTS", "BROKER_URL", "DATABASE_URL", "JWKS_URL"):
            assert name in done.stderr
        assert "Traceback" not in done.stderr

    def test_names_the_profiles_where_none_is_chosen(self) -> None:
        done = config("check", {"DJANGO_SETTINGS_MODULE": "somewhere.else"})
        assert done.returncode == 1
        assert "pangaea.settings.service" in done.stderr


class TestRedaction:
    @pytest.mark.parametrize(
        "text",
        [
            "postgres://u:hunter2@h/d",
            "postgres://u:hunt@hunter2@h/d",
            "redis://:hunter2@h:6379/0",
            "rediss://h/0?password=hunter2&x=1",
            "postgres://h/d?sslpassword=hunter2",
            "amqp://u:x@h;amqp://u:hunter2@h",
            "amqp://h;amqp://u:hunter2@h",
            "postgres://u:hunt;hunter2@h/d",
            "postgres://a;b:hunter2@h/d",
            "postgres://h/d?sslpassword=hunt;hunter2",
        ],
    )
    def test_leaves_no_password_in_a_url(self, text: str) -> None:
        assert "hunter2" not in redacted(text)

    def test_leaves_the_rest_alone(self) -> None:
        assert redacted("postgres://u:p@h:1/d?sslmode=require") == "postgres://u:***@h:1/d?sslmode=require"
        assert redacted("https://users.example/jwks.json") == "https://users.example/jwks.json"


class TestAnyOtherCommand:
    def test_names_what_to_set_and_shows_no_traceback(self) -> None:
        done = manage("web", environ=SERVICE | {"PANGAEA_MODULES": "order"})
        assert done.returncode == 1
        assert done.stderr.startswith("The configuration is incomplete or unsafe:\n  - PANGAEA_MODULES names order;")
        assert "Traceback" not in done.stderr

    def test_refuses_a_profile_that_does_not_exist_without_a_traceback(self) -> None:
        done = config("check", {"DJANGO_SETTINGS_MODULE": "pangaea.settings.nope"})
        assert done.returncode == 1
        assert "names no profile of Pangaea" in done.stderr
        assert "Traceback" not in done.stderr
