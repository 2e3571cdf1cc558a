"""A deployment reaches only its own machine, and hosts accepted by name, without verified TLS."""

from pathlib import Path

import pytest

from pangaea.configuration.profiles import PROFILES
from pangaea.configuration.reading import Configuration
from tests.kernel.configuration.test_config_command import config
from tests.kernel.configuration.test_settings import GOOD, problems

AWAY = "postgres://u:hunter2@db.internal:5432/d"
VERIFIED = "sslmode=verify-full&sslrootcert=system"


class TestAServerOnAnotherHost:
    @pytest.mark.parametrize("profile", ["monolith", "service"])
    @pytest.mark.parametrize(
        ("name", "value", "remedy"),
        [
            ("DATABASE_URL", AWAY, "sslmode=verify-full"),
            ("DIRECT_DATABASE_URL", AWAY, "sslmode=verify-full"),
            ("BROKER_URL", "amqp://u:hunter2@db.internal//", "amqps://"),
            ("BROKER_URL", "redis://:hunter2@db.internal:6379/0", "rediss://"),
            ("CACHE_URL", "redis://:hunter2@db.internal:6379/0", "rediss://"),
            ("JWKS_URL", "http://db.internal/jwks.json", "https://"),
        ],
    )
    def test_is_refused_without_verified_tls(self, profile: str, name: str, value: str, remedy: str) -> None:
        environ = GOOD | {"PANGAEA_MODULES": "orders", name: value}
        (problem,) = problems(environ, profile)
        assert problem.startswith(f"{name} reaches db.internal without verified TLS")
        assert remedy in problem
        assert "hunter2" not in problem
        assert problem.rstrip().endswith("UNVERIFIED_HOSTS=db.internal.")
        assert problems(environ | {"UNVERIFIED_HOSTS": "mq.internal, DB.internal"}, profile) == []

    @pytest.mark.parametrize("variable", ["ORDERS_DATABASE_URL", "ORDERS_DIRECT_DATABASE_URL"])
    def test_is_refused_for_one_module(self, variable: str) -> None:
        local = {"PANGAEA_MODULES": "orders", "ORDERS_DATABASE_URL": "postgres://u:p@127.0.0.1/o"}
        (problem,) = problems(GOOD | local | {variable: AWAY})
        assert problem.startswith(f"{variable} reaches db.internal")

    def test_is_not_checked_if_no_module_uses_it(self) -> None:
        own = {"PANGAEA_MODULES": "orders", "ORDERS_DATABASE_URL": "postgres://u:p@127.0.0.1/o"}
        assert problems(GOOD | own | {"DATABASE_URL": AWAY}) == []

    @pytest.mark.parametrize("mode", ["", "disable", "allow", "prefer", "require", "verify-ca"])
    def test_needs_the_sslmode_that_verifies_the_host_name(self, mode: str) -> None:
        (problem,) = problems(GOOD | {"DATABASE_URL": f"{AWAY}?sslmode={mode}&sslrootcert=system"}, "monolith")
        assert f"sslmode is {mode or 'not set'}, give" in problem

    def test_needs_an_authority_that_can_be_read(self, tmp_path: Path) -> None:
        (problem,) = problems(GOOD | {"DATABASE_URL": f"{AWAY}?sslmode=verify-full"}, "monolith")
        assert "sslrootcert is not set" in problem
        url = f"{AWAY}?sslmode=verify-full&sslrootcert={tmp_path}/ca.crt"
        (problem,) = problems(GOOD | {"DATABASE_URL": url}, "monolith")
        assert f"its sslrootcert, {tmp_path}/ca.crt, cannot be read" in problem
        (tmp_path / "ca.crt").touch()
        assert problems(GOOD | {"DATABASE_URL": url}, "monolith") == []

    @pytest.mark.parametrize(
        "environ",
        [
            {"DATABASE_URL": f"{AWAY}?{VERIFIED}"},
            {"DATABASE_URL": AWAY, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "system"},
            {"BROKER_URL": "amqps://u:p@mq.internal//"},
            {"BROKER_URL": "rediss://mq.internal/0"},
            {"BROKER_URL": "amqps://u:p@mq1.internal//;amqps://u:p@mq2.internal//"},
        ],
    )
    def test_is_reached_with_verified_tls(self, environ: dict[str, str]) -> None:
        assert problems(GOOD | environ, "monolith") == []


class TestSeveralHosts:
    def test_of_one_broker_are_each_checked(self) -> None:
        broker = {"BROKER_URL": "amqp://u:p@127.0.0.1//;amqp://u:p@one.internal//;amqp://u:p@two.internal//"}
        found = problems(GOOD | broker, "monolith")
        assert [problem.split()[2] for problem in found] == ["one.internal", "two.internal"]
        (problem,) = problems(GOOD | broker | {"UNVERIFIED_HOSTS": "one.internal"}, "monolith")
        assert "two.internal" in problem

    @pytest.mark.parametrize(
        "environ",
        [
            {"DATABASE_URL": "postgres://u:p@127.0.0.1,away.internal/d"},
            {"DATABASE_URL": "postgres://u:p@127.0.0.1/d?hostaddr=192.0.2.1", "UNVERIFIED_HOSTS": "192.0.2.2"},
            {"DATABASE_URL": "postgres:///d?host=away.internal"},
            {"DATABASE_URL": "postgres:///d", "PGHOST": "away.internal"},
            {"DATABASE_URL": "postgres://u:p@127.0.0.1/d", "PGSERVICE": "away"},
            {"DATABASE_URL": "postgres://u:p@127.0.0.1:5432,away.internal:5433/d"},
        ],
    )
    def test_of_one_database_are_each_checked(self, environ: dict[str, str]) -> None:
        (problem,) = problems(GOOD | environ, "monolith")
        assert problem.startswith(("DATABASE_URL reaches away", "DATABASE_URL reaches 192.0.2.1 "))


class TestThisMachine:
    @pytest.mark.parametrize(
        "environ",
        [
            {"DATABASE_URL": "postgres://u:p@LOCALHOST:5432/d"},
            {"DATABASE_URL": "postgres://u:p@127.8.8.8/d"},
            {"DATABASE_URL": "postgres://u:p@[::1]/d"},
            {"DATABASE_URL": "postgres://u:p@%2Fvar%2Frun%2Fpostgresql/d"},
            {"DATABASE_URL": "postgres:///d?host=/var/run/postgresql"},
            {"BROKER_URL": "redis://localhost/0"},
            {"JWKS_URL": "http://[::1]:8000/jwks.json"},
        ],
    )
    def test_needs_no_tls(self, environ: dict[str, str]) -> None:
        assert problems(GOOD | environ, "monolith") == []

    @pytest.mark.parametrize("host", ["localhost.example", "127.0.0.1.example", "10.0.0.1", "[fe80::1]"])
    def test_is_not_a_similar_host_name(self, host: str) -> None:
        (problem,) = problems(GOOD | {"BROKER_URL": f"redis://{host}/0"}, "monolith")
        assert "without verified TLS" in problem


class TestABrokersUrl:
    @pytest.mark.parametrize(
        ("url", "named"),
        [
            ("rediss://u:hunter2@h/0?ssl_cert_reqs=none", "ssl_cert_reqs"),
            ("rediss://u:hunter2@h/0?db=1&ssl_check_hostname=false", "ssl_check_hostname"),
            ("amqps://u:hunter2@h//;amqps://u:hunter2@h//?verify=verify_none", "verify"),
            ("amqp://u:hunter2@h//?connection_timeout=5", "query"),
            ("amqps://u:hunter2@h//;amqp://u:hunter2@h//", "schemes"),
            ("AMQP://u:hunter2@127.0.0.1//", "small letters"),
        ],
    )
    def test_cannot_weaken_tls(self, url: str, named: str) -> None:
        (problem,) = problems(GOOD | {"BROKER_URL": url}, "monolith")
        assert problem.startswith("BROKER_URL has ")
        assert named in problem
        assert "hunter2" not in problem


class TestAcceptedHosts:
    @pytest.mark.parametrize("text", ["*", ".internal", "*.internal", "http://db.internal", "db.internal:5432"])
    def test_are_given_by_name(self, text: str) -> None:
        assert problems(GOOD | {"UNVERIFIED_HOSTS": text}, "monolith")[0].startswith("UNVERIFIED_HOSTS has ")

    def test_may_be_addresses(self) -> None:
        environ = GOOD | {"DATABASE_URL": "postgres://u:p@[fd00::1]/d", "UNVERIFIED_HOSTS": "[fd00::1],10.0.0.1"}
        assert problems(environ, "monolith") == []


class TestTheOtherProfiles:
    def test_check_no_server(self) -> None:
        assert Configuration(PROFILES["local"], {"BROKER_URL": "redis://away/0", "DATABASE_URL": AWAY}).problems == []


class TestConfigCheck:
    def test_names_the_variable_and_the_remedy(self) -> None:
        environ = GOOD | {"DJANGO_SETTINGS_MODULE": "pangaea.settings.monolith", "DATABASE_URL": AWAY}
        done = config("check", environ)
        assert done.returncode == 1
        assert "DATABASE_URL reaches db.internal without verified TLS" in done.stderr
        assert "UNVERIFIED_HOSTS=db.internal" in done.stderr
