"""Configuration is read once, as a whole, and refused with every problem named."""

import os
import subprocess
import sys
from dataclasses import Field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from joserfc.jwk import ECKey

from pangaea import modules
from pangaea.configuration.declared import Declared, variable
from pangaea.configuration.reading import declared, load
from pangaea.configuration.values import text_of
from pangaea.databases import entries

ROOT = Path(__file__).resolve().parents[3]
MODULE = modules.discover()[0]
GOOD = {
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "ALLOWED_HOSTS": "shop.example",
    "DATABASE_URL": "postgres://u:p@127.0.0.1:1/d",
    "BROKER_URL": "amqp://127.0.0.1:1//",
    "JWKS_URL": "https://users.example/.well-known/jwks.json",
}


MALFORMED = {
    "PANGAEA_MODULES": "nowhere",
    "PANGAEA_MODULES_PACKAGE": "no.such.package",
    "SECRET_KEY": "hunter2",
    "SECRET_KEY_FALLBACKS": "hunter2",
    "UNVERIFIED_HOSTS": "db.internal,*.internal",
    "ALLOWED_HOSTS": "https://shop.example/",
    "CSRF_TRUSTED_ORIGINS": "shop.example",
    "CORS_ORIGINS": "https://shop.example/",
    "DATABASE_URL": "postgres://u:hunter2@h:port/d",
    "DIRECT_DATABASE_URL": "postgres://u:hunter2@h:port/d",
    "BROKER_URL": "amqp://u:hunter2@h:port//",
    "BROKER_CA": "/no/such/file",
    "BROKER_PREFIX": "a b",
    "BROKER_LOGINS": "shop",
    "CACHE_URL": "redis://u:hunter2@h:port/0",
    "CACHE_CA": "/no/such/file",
    "CACHE_PREFIX": "a b",
    "ISSUER": "pangaea",
    "AUDIENCE": "two words",
    "SIGNING_KEY": "-----BEGIN PRIVATE KEY-----hunter2",
    "SIGNING_KEY_FILE": "/no/such/file",
    "JWKS_URL": "users.example/jwks.json",
    "JWKS_IDENTITY": "two words",
    "TRUST_DOMAIN": "Upper.Case",
    "TLS_CERTIFICATE": "/no/such/file",
    "TLS_KEY": "/no/such/file",
    "TLS_CA": "/no/such/file",
    "ACCEPTED_CALLERS": "gateway,two words",
    "LOG_LEVEL": "LOUD",
    "LOG_FORMAT": "xml",
    "HEALTH_HOST": "http://127.0.0.1",
}
"""A malformed text for every variable that is a text or a list; for other types `malformed` has one."""
ANYTHING_GOES = {"LOCAL_STATE_DIR"}  # a path that is created; only the local profile reads it


def malformed(each: "Field[Any]") -> str:
    name = variable(each)
    if isinstance(each.default, (str, tuple)):
        assert name in MALFORMED, f"add to MALFORMED what {name} cannot be, and give the setting a validator"
        return MALFORMED[name]
    return "hunter2"


CHECKED = [each for each in fields(Declared) if variable(each) not in ANYTHING_GOES]


def problems(environ: dict[str, str], profile: str = "service") -> list[str]:
    """The problems of a profile's start in that environment."""
    try:
        load(profile, environ)
    except ImproperlyConfigured as error:
        return str(error).split("\n  - ")[1:]
    return []


def start(profile: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Load a profile in its own process."""
    return subprocess.run(
        [sys.executable, "-c", "from django.conf import settings; settings.DEBUG"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}",
            "DJANGO_SETTINGS_MODULE": f"pangaea.settings.{profile}",
            **environ,
        },
        capture_output=True,
        text=True,
        check=False,
    )


class TestDeclared:
    def test_has_a_default_for_everything(self) -> None:
        assert declared({}).relay_batch == 250

    def test_reads_numbers_durations_lists_and_booleans(self) -> None:
        read = declared({"RELAY_BATCH": "7", "RELAY_POLL": "0.5", "ALLOWED_HOSTS": " a, b ,", "SECURE_COOKIES": "no"})
        assert read.relay_batch == 7
        assert read.relay_poll == timedelta(milliseconds=500)
        assert read.allowed_hosts == ("a", "b")
        assert not read.secure_cookies

    @pytest.mark.parametrize(
        ("text", "length"),
        [
            ("500ms", timedelta(milliseconds=500)),
            ("30s", timedelta(seconds=30)),
            ("2.5s", timedelta(seconds=2.5)),
            ("10m", timedelta(minutes=10)),
            ("2h", timedelta(hours=2)),
            ("1d", timedelta(days=1)),
            ("90", timedelta(seconds=90)),
            (" 5s\n", timedelta(seconds=5)),
        ],
    )
    def test_reads_a_duration_with_its_unit(self, text: str, length: timedelta) -> None:
        assert declared({"ACCESS_TOKEN_LIFETIME": text}).access_token_lifetime == length

    @pytest.mark.parametrize("seconds", [0.0005, 0.5, 2.5, 59, 60, 3600, 86400, 90061])
    def test_reads_the_text_of_a_duration_back(self, seconds: float) -> None:
        length = timedelta(seconds=seconds)
        assert declared({"ACCESS_TOKEN_LIFETIME": text_of(length)}).access_token_lifetime == length

    def test_names_the_units_where_a_duration_has_none_of_them(self) -> None:
        with pytest.raises(ImproperlyConfigured, match=r"RELAY_POLL is '10w'; set a duration .* d, h, m, s, ms .* 1s"):
            declared({"RELAY_POLL": "10w"})

    def test_takes_a_secret_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("from a file\n")
        assert declared({"SECRET_KEY_FILE": str(tmp_path / "key")}).secret_key.strip() == "from a file"

    def test_names_a_secret_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ImproperlyConfigured, match="SECRET_KEY"):
            declared({"SECRET_KEY_FILE": str(tmp_path / "absent")})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("RELAY_BATCH", "0"),
            ("RELAY_BATCH", ""),
            ("RELAY_BATCH", "1e3"),
            ("RELAY_POLL", "-1"),
            ("RELAY_POLL", "nan"),
            ("RELAY_POLL", "0s"),
            ("RELAY_POLL", "10 s"),
            ("RELAY_POLL", "10S"),
            ("RELAY_POLL", "10w"),
            ("RELAY_POLL", "1h30m"),
            ("RELAY_POLL", "1e3"),
            ("RELAY_POLL", "-5s"),
            ("RELAY_POLL", "99999999999d"),
            ("REFRESH_TOKEN_LIFETIME", "3651d"),
            ("DATABASE_ANSWER_TIMEOUT", "13h"),
            ("DATABASE_ANSWER_TIMEOUT", "500ms"),
            ("DATABASE_STATEMENT_TIMEOUT", "0.0004s"),
            ("DATABASE_LOCK_TIMEOUT", "25d"),
            ("DATABASE_LOGIN_CONNECTIONS", "999999999999"),
            ("RELAY_BATCH", "1_000"),
            ("RELAY_BATCH", "٣"),
            ("SECURE_COOKIES", "2"),
            ("SECURE_COOKIES", "ture"),
            ("QUEUES_PER_MODULE", "9"),
            ("DEAD_LETTER_PAUSE", "7200"),
            ("AUDIENCE", ""),
            ("HEALTH_HOST", "*"),
            ("HEALTH_HOST", ".example"),
        ],
    )
    def test_refuses_malformed_numbers_durations_and_booleans(self, name: str, value: str) -> None:
        with pytest.raises(ImproperlyConfigured, match=name):
            declared({name: value})

    def test_takes_a_text_unchanged(self) -> None:
        assert declared({"SECRET_KEY": "$ecret"}).secret_key == "$ecret"

    def test_reads_its_own_defaults_back(self) -> None:
        shown = {variable(each): text_of(each.default) for each in fields(Declared)}
        assert declared({name: text for name, text in shown.items() if text}) == Declared()

    def test_names_all_mistakes_at_once(self) -> None:
        with pytest.raises(ImproperlyConfigured) as caught:
            declared({"RELAY_BATCH": "x", "RELAY_POLL": "y", "LOG_LEVEL": "z"})
        assert all(name in str(caught.value) for name in ("RELAY_BATCH", "RELAY_POLL", "LOG_LEVEL"))


class TestPrecedence:
    def test_a_lone_module_has_variables_of_its_own(self) -> None:
        environ = {"RELAY_BATCH": "7", "RELAY_POLL": "9", "ORDERS_RELAY_BATCH": "8"}
        alone = declared({**environ, "PANGAEA_MODULES": "orders"})
        assert (alone.relay_batch, alone.relay_poll, alone.relay_pass) == (8, timedelta(seconds=9), 2000)
        assert declared({**environ, "PANGAEA_MODULES": "users"}).relay_batch == 7
        assert declared({**environ, "PANGAEA_MODULES": "orders,users"}).relay_batch == 7

    def test_the_modules_own_goes_before_a_shared_file(self, tmp_path: Path) -> None:
        (tmp_path / "shared").write_text("7\n")
        (tmp_path / "own").write_text("8\n")
        shared = {"PANGAEA_MODULES": "orders", "RELAY_BATCH_FILE": str(tmp_path / "shared")}
        assert declared(shared).relay_batch == 7
        assert declared(shared | {"ORDERS_RELAY_BATCH": "9"}).relay_batch == 9
        assert declared(shared | {"ORDERS_RELAY_BATCH_FILE": str(tmp_path / "own")}).relay_batch == 8

    def test_a_value_and_a_file_for_it_are_a_contradiction(self, tmp_path: Path) -> None:
        (tmp_path / "batch").write_text("7")
        with pytest.raises(ImproperlyConfigured, match="RELAY_BATCH and RELAY_BATCH_FILE are both set"):
            declared({"RELAY_BATCH": "7", "RELAY_BATCH_FILE": str(tmp_path / "batch")})

    def test_a_modules_own_key_beside_a_shared_file_is_a_contradiction(self, tmp_path: Path) -> None:
        key = ECKey.generate_key("P-256").as_pem(private=True).decode()
        (tmp_path / "same").write_text(key)
        own = {"PANGAEA_MODULES": "orders", "ORDERS_SIGNING_KEY": key}
        assert declared(own | {"SIGNING_KEY_FILE": str(tmp_path / "same")}).signing_key == key.strip()
        with pytest.raises(ImproperlyConfigured, match="SIGNING_KEY_FILE and a module's own SIGNING_KEY are both set"):
            declared(own | {"SIGNING_KEY_FILE": str(tmp_path / "absent")})

    def test_a_mistake_is_named_with_the_variable_that_holds_it(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="- ORDERS_RELAY_BATCH is 'x'"):
            declared({"PANGAEA_MODULES": "orders", "ORDERS_RELAY_BATCH": "x"})

    def test_the_modules_own_database_goes_before_the_shared_one(self) -> None:
        own, shared = "postgres://o:p@localhost/o", GOOD["DATABASE_URL"]
        alone = load("service", GOOD | {"PANGAEA_MODULES": "orders", "ORDERS_DATABASE_URL": own})
        assert alone.database_urls == {"default": own, "orders": own}
        several = load("monolith", GOOD | {"PANGAEA_MODULES": "orders,users", "ORDERS_DATABASE_URL": own})
        assert several.database_urls == {"default": shared, "orders": own, "users": shared}

    def test_a_direct_url_goes_with_the_url_through_a_pooler(self) -> None:
        own, direct, shared = (f"postgres://u:p@127.0.0.1/{name}" for name in ("pooled", "direct", "shared"))
        settings = {"ORDERS_DATABASE_URL": own, "ORDERS_DIRECT_DATABASE_URL": direct}
        alone = load("service", GOOD | settings | {"PANGAEA_MODULES": "orders"})
        assert alone.direct_urls == {"default": direct, "orders": direct}
        settings |= {"DIRECT_DATABASE_URL": shared, "PANGAEA_MODULES": "orders,users"}
        several = load("monolith", GOOD | settings)
        assert several.direct_urls == {"default": shared, "orders": direct, "users": shared}
        with pytest.raises(ImproperlyConfigured, match="ORDERS_DIRECT_DATABASE_URL is set, and ORDERS_DATABASE_URL is"):
            load("monolith", GOOD | settings | {"ORDERS_DATABASE_URL": ""})
        with pytest.raises(ImproperlyConfigured, match="ORDERS_DIRECT_DATABASE_URL is malformed") as refusal:
            load("monolith", GOOD | settings | {"ORDERS_DIRECT_DATABASE_URL": "postgres://u:hunter2@h:port/d"})
        assert "hunter2" not in str(refusal.value)

    def test_only_a_deployment_reads_a_modules_database(self, tmp_path: Path) -> None:
        own = {"ORDERS_DATABASE_URL": "malformed", "LOCAL_STATE_DIR": str(tmp_path)}
        assert all(shown.variable != "ORDERS_DATABASE_URL" for shown in load("local", own).settings)
        assert declared(own) == Declared(local_state_dir=str(tmp_path))

    def test_names_what_has_no_effect(self) -> None:
        several = load("monolith", GOOD | {"PANGAEA_MODULES": "orders,users", "ORDERS_RELAY_BATCH": "7"})
        assert [remark.partition(" ")[0] for remark in several.remarks] == ["ORDERS_RELAY_BATCH"]


class TestABrokerWithoutLogins:
    @pytest.fixture
    def identified(self, tmp_path: Path) -> dict[str, str]:
        """A module's service that others know by its certificate."""
        files = {name: tmp_path / name for name in ("TLS_CERTIFICATE", "TLS_KEY", "TLS_CA")}
        for path in files.values():
            path.touch()
        return GOOD | {"PANGAEA_MODULES": modules.discover()[0]} | {name: str(path) for name, path in files.items()}

    def test_is_refused_where_services_know_each_other_by_certificates(self, identified: dict[str, str]) -> None:
        (problem,) = problems(identified | {"BROKER_URL": "rediss://mq.example/0"})
        assert "BROKER_WITHOUT_LOGINS=true" in problem
        assert problems(identified) == []

    def test_can_be_accepted(self, identified: dict[str, str]) -> None:
        assert problems(identified | {"BROKER_URL": "rediss://mq.example/0", "BROKER_WITHOUT_LOGINS": "true"}) == []


class TestEveryVariable:
    SERVICE = GOOD | {"PANGAEA_MODULES": MODULE}

    @pytest.mark.parametrize("each", CHECKED, ids=variable)
    def test_malformed_is_named_with_what_to_set(self, each: "Field[Any]") -> None:
        problem, *others = problems(self.SERVICE | {variable(each): malformed(each)})
        assert others == [] or others[0].endswith("TLS_CERTIFICATE, TLS_KEY and TLS_CA go together.")
        assert problem.startswith(variable(each))
        assert any(word in problem for word in ("set ", "use ", "Write ", "give ", "name ", "be ", "are: ")), problem
        assert "hunter2" not in problem or not each.metadata["secret"]

    def test_of_modules_may_name_each_once(self) -> None:
        (problem,) = problems(self.SERVICE | {"PANGAEA_MODULES": f"{MODULE}, {MODULE}"})
        assert problem == "PANGAEA_MODULES names a module twice: name each once."

    @pytest.mark.parametrize("name", ["PANGAEA_MODULES", *sorted(GOOD)])
    def test_missing_is_named_with_what_it_is_for(self, name: str) -> None:
        (problem,) = problems({key: value for key, value in self.SERVICE.items() if key != name})
        assert name in problem
        assert "is not set" in problem

    @pytest.mark.parametrize("each", CHECKED, ids=variable)
    def test_whose_file_is_missing_is_named(self, each: "Field[Any]", tmp_path: Path) -> None:
        name = variable(each)
        environ = {key: value for key, value in self.SERVICE.items() if key != name}
        assert [
            problem
            for problem in problems(environ | {f"{name}_FILE": str(tmp_path / "absent")})
            if f"{name}_FILE" in problem
        ]

    def test_malformed_is_named_beside_all_others(self) -> None:
        # A value and the file that holds it exclude each other, which is another mistake.
        own = [each for each in CHECKED if each.metadata["per_module"] and each.name != "signing_key_file"]
        found = problems({variable(each): malformed(each) for each in own})
        for each in own:
            assert [problem for problem in found if problem.startswith(variable(each))], variable(each)
        assert [problem for problem in found if problem.startswith("PANGAEA_MODULES is not set")]
        assert [problem for problem in found if problem.startswith("DATABASE_URL is not set")]

    def test_valid_causes_no_problem(self) -> None:
        assert problems(self.SERVICE) == []

    def test_malformed_ends_a_start_with_all_problems(self) -> None:
        refused = start("service", self.SERVICE | {"RELAY_POLL": "soon", "LOG_LEVEL": "LOUD", "SECRET_KEY": "short"})
        assert refused.returncode != 0
        assert all(f"  - {name} " in refused.stderr for name in ("RELAY_POLL", "LOG_LEVEL", "SECRET_KEY"))


class TestProfiles:
    @pytest.mark.parametrize("profile", ["monolith", "service"])
    def test_a_deployment_refuses_to_start_on_nothing(self, profile: str) -> None:
        refused = start(profile, {})
        assert refused.returncode != 0
        assert all(name in refused.stderr for name in ("SECRET_KEY", "ALLOWED_HOSTS", "BROKER_URL"))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SECRET_KEY", "x" * 60),
            ("ALLOWED_HOSTS", "*"),
            ("BROKER_URL", "memory://"),
            ("DATABASE_URL", "mysql://u@h/d"),
        ],
    )
    def test_a_deployment_refuses_what_is_unsafe(self, name: str, value: str) -> None:
        (problem,) = problems(GOOD | {name: value}, "monolith")
        assert problem.startswith(name)

    @pytest.mark.parametrize("parameter", ["ATOMIC_REQUESTS=true", "conn_max_age=5", "ATOMIC%5FREQUESTS=1", "pool=1"])
    def test_a_databases_url_sets_nothing_of_djangos(self, parameter: str) -> None:
        (problem,) = problems(GOOD | {"DATABASE_URL": f"{GOOD['DATABASE_URL']}?{parameter}"}, "monolith")
        assert problem.startswith("DATABASE_URL has ")
        assert "in its query: set it without" in problem

    @pytest.mark.parametrize("name", ["a#b", "50% of?it", "é ü", "a:b@c"])
    def test_local_keeps_its_files_in_a_folder_of_any_name(self, name: str, tmp_path: Path) -> None:
        folder = tmp_path / name
        urls = load("local", {"LOCAL_STATE_DIR": str(folder)}).database_urls
        assert entries.configure(urls)["orders"]["NAME"] == str(folder / "orders.sqlite3")

    def test_local_refuses_a_value_in_quotation_marks(self, tmp_path: Path) -> None:
        (problem,) = problems({"LOCAL_STATE_DIR": str(tmp_path), "AUDIENCE": "'shop'"}, "local")
        assert problem.startswith("AUDIENCE is in quotation marks")

    def test_local_names_a_folder_that_cannot_keep_its_files(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        (problem,) = problems({"LOCAL_STATE_DIR": str(tmp_path / "file")}, "local")
        assert problem.startswith("LOCAL_STATE_DIR")

    def test_a_signing_key_may_stand_in_for_the_address_of_one(self) -> None:
        without = {key: value for key, value in GOOD.items() if key != "JWKS_URL"}
        assert (
            problems(without | {"SIGNING_KEY": ECKey.generate_key("P-256").as_pem(private=True).decode()}, "monolith")
            == []
        )

    def test_a_deployment_starts_on_a_whole_configuration(self) -> None:
        started = start("monolith", GOOD)
        assert started.returncode == 0, started.stderr

    @pytest.mark.parametrize(("label", "is_refused"), [("a" * 48, False), ("a" * 49, True), ("é" * 25, True)])
    def test_a_module_whose_names_would_be_cut_is_refused(
        self, label: str, is_refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = f"package_{len(label)}"
        for folder in (tmp_path / package, tmp_path / package / label):
            folder.mkdir()
            (folder / "__init__.py").touch()
        (tmp_path / package / label / "apps.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        found = problems(GOOD | {"PANGAEA_MODULES_PACKAGE": package}, "monolith")
        assert [label in problem for problem in found] == [True] * is_refused

    def test_an_unknown_module_is_refused_by_name(self) -> None:
        refused = start("service", GOOD | {"PANGAEA_MODULES": "nowhere"})
        assert "nowhere" in refused.stderr

    def test_a_secret_is_never_in_the_message(self) -> None:
        refused = start("monolith", GOOD | {"SECRET_KEY": "hunter2", "DATABASE_URL": "postgres://u:hunter2@h:port/d"})
        assert refused.returncode != 0
        assert "hunter2" not in refused.stderr.rpartition("ImproperlyConfigured")[2]


class TestDatabaseUrls:
    def test_a_shared_url_gives_each_alias_its_schema_and_role(self) -> None:
        url = "postgres://u:p@h/shop"
        entry = entries.configure({"default": url, "orders": url}, shared_url=url)["orders"]
        assert "-c search_path=orders " in entry["OPTIONS"]["options"]
        assert entry["OPTIONS"]["options"].endswith(" -c role=shop_orders")

    def test_a_url_of_its_own_logs_in_as_itself(self) -> None:
        entry = entries.configure({"orders": "postgres://orders:p@h/o?sslmode=require&keepalives_idle=7"})["orders"]
        assert "role=" not in entry["OPTIONS"]["options"]
        assert entry["OPTIONS"]["sslmode"] == "require"
        assert int(entry["OPTIONS"]["keepalives_idle"]) == 7

    def test_both_ends_close_a_dead_connection_after_the_same_time(self) -> None:
        limit = timedelta(seconds=12)
        options = entries.configure({"orders": "postgres://orders:p@h/o"}, answer_timeout=limit)["orders"]["OPTIONS"]
        assert options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"] == 12
        assert options["tcp_user_timeout"] == 12_000
        assert "-c tcp_user_timeout=12000" in options["options"]
        assert "-c tcp_keepalives_idle=6" in options["options"]

    def test_behind_a_pooler_nothing_is_left_in_a_session(self) -> None:
        url = "postgres://u:p@pooler/alias"
        direct = "postgres://u:p@h/shop"
        entry = entries.configure({"orders": url}, shared_url=url, direct_urls={"orders": direct})["orders"]
        assert entry["DISABLE_SERVER_SIDE_CURSORS"] is True
        assert entry["PANGAEA"]["role"] == "shop_orders"

    def test_another_engine_is_refused(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="orders"):
            entries.configure({"orders": "mysql://u:p@h/d"})
