"""Configuration is read once, whole, and refused with every mistake named."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from pangaea import databases
from pangaea.settings.declared import Declared

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "ALLOWED_HOSTS": "shop.example",
    "DATABASE_URL": "postgres://u:p@127.0.0.1:1/d",
    "BROKER_URL": "amqp://127.0.0.1:1//",
    "JWKS_URL": "https://users.example/.well-known/jwks.json",
}


def start(profile: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Load a profile in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from django.conf import settings; settings.DEBUG"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": f"pangaea.settings.{profile}", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


class TestDeclared:
    def test_has_a_default_for_everything(self) -> None:
        assert Declared.read({}).relay_batch == 250

    def test_reads_numbers_durations_lists_and_booleans(self) -> None:
        declared = Declared.read(
            {"RELAY_BATCH": "7", "RELAY_POLL": "0.5", "ALLOWED_HOSTS": " a, b ,", "SECURE_COOKIES": "no"}
        )
        assert declared.relay_batch == 7
        assert declared.relay_poll == timedelta(milliseconds=500)
        assert declared.allowed_hosts == ("a", "b")
        assert not declared.secure_cookies

    def test_takes_a_secret_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("from a file\n")
        assert Declared.read({"SECRET_KEY_FILE": str(tmp_path / "key")}).secret_key.strip() == "from a file"

    def test_names_a_secret_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ImproperlyConfigured, match="SECRET_KEY"):
            Declared.read({"SECRET_KEY_FILE": str(tmp_path / "absent")})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("RELAY_BATCH", "many"),
            ("RELAY_BATCH", "0"),
            ("RELAY_POLL", "-1"),
            ("RELAY_POLL", "nan"),
            ("SECURE_COOKIES", "maybe"),
            ("LOG_LEVEL", "LOUD"),
            ("QUEUES_PER_MODULE", "9"),
        ],
    )
    def test_refuses_a_malformed_value_by_name(self, name: str, value: str) -> None:
        with pytest.raises(ImproperlyConfigured, match=name):
            Declared.read({name: value})

    def test_names_all_mistakes_at_once(self) -> None:
        with pytest.raises(ImproperlyConfigured) as caught:
            Declared.read({"RELAY_BATCH": "x", "RELAY_POLL": "y"}, required=("secret_key",))
        assert all(name in str(caught.value) for name in ("RELAY_BATCH", "RELAY_POLL", "SECRET_KEY"))


class TestProfiles:
    @pytest.mark.parametrize("profile", ["monolith", "service"])
    def test_a_deployment_refuses_to_start_on_nothing(self, profile: str) -> None:
        refused = start(profile, {})
        assert refused.returncode != 0
        assert all(name in refused.stderr for name in ("SECRET_KEY", "ALLOWED_HOSTS", "BROKER_URL"))

    @pytest.mark.parametrize("name", sorted(GOOD))
    def test_a_deployment_names_the_one_that_is_missing(self, name: str) -> None:
        refused = start("monolith", {key: value for key, value in GOOD.items() if key != name})
        assert refused.returncode != 0
        assert name in refused.stderr

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SECRET_KEY", "short"),
            ("ALLOWED_HOSTS", "*"),
            ("BROKER_URL", "memory://"),
            ("DATABASE_URL", "mysql://u@h/d"),
        ],
    )
    def test_a_deployment_refuses_what_is_unsafe(self, name: str, value: str) -> None:
        refused = start("monolith", GOOD | {name: value})
        assert refused.returncode != 0
        assert "ImproperlyConfigured" in refused.stderr

    def test_a_deployment_starts_on_a_whole_configuration(self) -> None:
        started = start("monolith", GOOD)
        assert started.returncode == 0, started.stderr

    def test_an_unknown_module_is_refused_by_name(self) -> None:
        refused = start("service", GOOD | {"PANGAEA_MODULES": "billing"})
        assert "billing" in refused.stderr

    def test_a_secret_never_stands_in_the_message(self) -> None:
        refused = start("monolith", GOOD | {"SECRET_KEY": "hunter2", "DATABASE_URL": "postgres://u:hunter2@h:port/d"})
        assert refused.returncode != 0
        assert "hunter2" not in refused.stderr.rpartition("ImproperlyConfigured")[2]


class TestDatabaseUrls:
    def test_a_shared_url_gives_each_alias_its_schema_and_role(self) -> None:
        url = "postgres://u:p@h/shop"
        entry = databases.configure({"default": url, "orders": url}, shared_url=url)["orders"]
        assert entry["OPTIONS"]["options"] == "-c search_path=orders -c role=shop_orders"

    def test_a_url_of_its_own_logs_in_as_itself(self) -> None:
        entry = databases.configure({"orders": "postgres://orders:p@h/o?sslmode=require"})["orders"]
        assert entry["OPTIONS"] == {"connect_timeout": 3, "sslmode": "require", "options": "-c search_path=orders"}

    def test_another_engine_is_refused(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="orders"):
            databases.configure({"orders": "mysql://u:p@h/d"})
