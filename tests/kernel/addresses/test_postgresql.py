"""A database's URL is understood in all its parts, or refused by name without a part of its password."""

from pathlib import Path

import pytest

from pangaea.addresses import options, postgresql
from pangaea.errors import Misconfigured
from tests.kernel.configuration.test_settings import GOOD, problems

PASSWORD = "hunter2"


def refusal(text: str) -> str:
    """The problem that `config check` finds, which is also the parser's."""
    (problem,) = problems(GOOD | {"DATABASE_URL": text}, "monolith")
    with pytest.raises(Misconfigured) as refused:
        postgresql.parse(text)
    assert problem == f"DATABASE_URL {refused.value}"
    return problem


def url(query: str = "", *, name: str = "shop") -> str:
    return f"postgres://u:{PASSWORD}@127.0.0.1/{name}{query}"


class TestAUrl:
    def test_has_each_part_decoded(self) -> None:
        found = postgresql.parse("postgres://%C3%A9:a%2Fb%23c%3Fd%25e%40f:g@127.0.0.1:5433/my%20shop?sslmode=require")
        assert (found.user, found.password, found.hosts, found.ports) == (
            "é",
            "a/b#c?d%e@f:g",
            ("127.0.0.1",),
            ("5433",),
        )
        assert (found.database, found.parameters) == ("my shop", {"sslmode": "require"})

    @pytest.mark.parametrize(
        ("text", "hosts", "ports"),
        [
            ("postgres://pg1:5432,pg2:5433/d", ("pg1", "pg2"), ("5432", "5433")),
            ("postgres://pg1:5432,pg2/d", ("pg1", "pg2"), ("5432", "")),
            ("postgres://[::1]:5432,pg2:5432/d", ("::1", "pg2"), ("5432", "5432")),
            ("postgres:///d?host=pg1,pg2&port=5433", ("pg1", "pg2"), ("5433",)),
            ("postgres://%2Fvar%2Frun,pg2/d", ("/var/run", "pg2"), ()),
            ("postgres:///d", (), ()),
        ],
    )
    def test_may_have_several_hosts(self, text: str, hosts: tuple[str, ...], ports: tuple[str, ...]) -> None:
        found = postgresql.parse(text)
        assert (found.hosts, found.ports) == (hosts, ports)

    def test_takes_a_parameter_without_a_value_as_unset(self) -> None:
        assert postgresql.parse(url("?sslmode=")).parameters == {}

    def test_is_not_shown_with_its_password(self) -> None:
        assert PASSWORD not in repr(postgresql.parse(url("?sslpassword=hunter2")))

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            (url("?bogus=1"), "has bogus in its query"),
            (url("?sslmode=bogus"), "has sslmode in its query with a value"),
            (url("?sslmode=require&sslmode=disable"), "has sslmode twice"),
            (url("?sslmode"), "has sslmode without a value"),
            (url("?ATOMIC_REQUESTS=True"), "has ATOMIC_REQUESTS in its query"),
            (url("?target_session_attrs=standby"), "has target_session_attrs in its query"),
            (url("?connect_timeout=0"), "has connect_timeout in its query"),
            (url("?sslcert=/no/such/file"), "has sslcert in its query"),
            (url("?service=away"), "has service in its query"),
            (url("?client_encoding=latin1"), "has client_encoding in its query"),
            (url("?password=other"), "has password in its query: write it before the path"),
            (url("?host=other"), "has host in its query and before its path"),
            (url("?application_name=a+b"), "has a + in application_name"),
            (url("?hostaddr=db.internal"), "has hostaddr in its query"),
            (url("?hostaddr=192.0.2.1,192.0.2.2"), "hostaddr than of hosts"),
            ("postgres://a:1,b:2,c/d?port=1,2", "has port in its query and before its path"),
            ("postgres:///d?host=a,b,c&port=1,2", "another number of ports than of hosts"),
            ("postgres://u:hunter2@127.0.0.1:0/d", "its port is a number from 1 to 65535"),
            ("postgres://u:hunter2@127.0.0.1:65536/d", "its port is a number from 1 to 65535"),
            ("postgres://u:hunter2@a..b/d", "a host is no name"),
            ("postgres://u:hunter2@a,/d", "a host is no name"),
            ("postgres://u:hunter2@[127.0.0.1]/d", "no IPv6 address"),
            ("postgres://u:hunter2@127.0.0.1", "names no database"),
            ("postgres://u:hunter2@127.0.0.1//run/d", "a / follows the database's name"),
            (url(name="a%3Db"), "with = or ://"),
            (url(name="%00"), "control character"),
            (url(name="%FF"), "not UTF-8"),
            (url(name="my shop"), "write a space as %20"),
            (url(name="d" * 64), "names a database of 64 bytes"),
            (f"postgres://{'u' * 64}:{PASSWORD}@127.0.0.1/d", "names a login of 64 bytes"),
            ("Postgres://u:hunter2@127.0.0.1/d", "scheme in capitals"),
            ("sqlite:///shop.sqlite3", "has another scheme than postgres://"),
            ("mysql://u:hunter2@127.0.0.1/d", "has another scheme than postgres://"),
            ("hunter2", "is malformed: set a URL like postgres://"),
        ],
    )
    def test_is_refused_by_the_name_of_what_is_wrong(self, text: str, named: str) -> None:
        assert named in (problem := refusal(text))
        assert PASSWORD not in problem

    @pytest.mark.parametrize(
        ("password", "escape"),
        [
            ("12/abcdef", "%2F"),
            ("12?abcdef", "%3F"),
            ("12?abcdef=ghijkl", "%3F"),
            ("12?sslmode=abcdef", "%3F"),
            ("12#abcdef", "%23"),
            ("abcdef%", "%25"),
            ("abcdef%zz", "%25"),
            ("12@abcdef/ghijkl", "%2F"),
        ],
    )
    def test_with_an_unquoted_password_quotes_no_part_of_it(self, password: str, escape: str) -> None:
        problem = refusal(f"postgres://u:{password}@db.internal/d")
        assert escape in problem
        assert not any(part in problem for part in ("abcdef", "ghijkl", "12", "db.internal"))

    def test_names_files_that_can_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "own cert").touch()
        parameters = postgresql.parse(url(f"?sslcert={tmp_path}/own%20cert")).parameters
        assert parameters == {"sslcert": f"{tmp_path}/own cert"}


class TestOptions:
    @pytest.mark.parametrize(
        "text",
        [
            "-c statement_timeout=5000",
            "-cstatement_timeout=5000",
            "--statement-timeout=5000",
            "-c STATEMENT_TIMEOUT=5000",
        ],
    )
    def test_are_read_in_each_of_the_servers_spellings(self, text: str) -> None:
        assert options.parse(text) == {"statement_timeout": "5000"}

    def test_are_written_as_they_are_read(self) -> None:
        settings = {"application_name": "a b\\c", "work_mem": "8MB"}
        assert options.parse(options.text_of(settings)) == settings

    @pytest.mark.parametrize("name", sorted(options.RESERVED))
    def test_cannot_change_what_the_kernel_relies_on(self, name: str) -> None:
        for spelling in (name, name.upper(), name.replace("_", "-")):
            assert f"sets {name} in its options: set it without" in refusal(url(f"?options=--{spelling}%3Dx"))

    @pytest.mark.parametrize("text", ["-d", "-c", "statement_timeout=5", "-c statement_timeout", "-c a=b\\"])
    def test_are_settings_alone(self, text: str) -> None:
        with pytest.raises(Misconfigured, match="options"):
            options.parse(text)


class TestARole:
    def test_is_named_after_the_database_and_the_module(self) -> None:
        assert postgresql.role_of("my shop", "orders") == "my shop_orders"

    @pytest.mark.parametrize("name", ["d" * 62, "%C3%A9" * 28])
    def test_is_refused_where_its_name_would_be_cut(self, name: str) -> None:
        url = f"postgres://u:p@127.0.0.1/{name}"
        (problem,) = problems(GOOD | {"DATABASE_URL": url}, "monolith")
        assert problem.startswith("DATABASE_URL names a database of ")
        assert problem.endswith("use a name of at most 55 bytes.")  # 63 - len("_web_bff")
        direct = {"DATABASE_URL": "postgres://u:p@127.0.0.1/pooled", "DIRECT_DATABASE_URL": url}
        (problem,) = problems(GOOD | direct, "monolith")
        assert problem.startswith("DIRECT_DATABASE_URL names a database of ")

    def test_is_not_taken_by_a_login_of_its_own(self) -> None:
        own = {"PANGAEA_MODULES": "orders", "ORDERS_DATABASE_URL": f"postgres://u:p@127.0.0.1/{'d' * 62}"}
        assert problems(GOOD | own) == []
