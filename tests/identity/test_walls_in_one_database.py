"""Modules in one PostgreSQL database: separate logins are a wall between them, separate roles of one login are not."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest
from django.db import connections
from joserfc.jwk import ECKey
from psycopg import sql

from pangaea.databases import aliases
from pangaea.databases.engines.postgresql import direct
from pangaea.testing import wait_until
from pangaea.testing.databases import drop_roles
from tests.acceptance.shop import Customer, Shop
from tests.acceptance.test_split_admin import OPERATOR, log_in
from tests.acceptance.topologies import MODULES, ProcessSet, monolith_environment
from tests.processes import Process, Workspace, workspace

REFUSED = psycopg.errors.InsufficientPrivilege
UNUSED = "amqp://unused:unused@127.0.0.1:1//"
LIMIT = 40
"""Connections per alias of a login."""


@dataclass
class Installation:
    """A monolith whose modules log in as themselves, in one database that `permissions` made."""

    name: str
    administrator: str
    workspace: Workspace
    environment: dict[str, str]

    def url(self, alias: str) -> str:
        return self.environment["DATABASE_URL" if alias == "default" else f"{alias.upper()}_DATABASE_URL"]

    def role(self, alias: str) -> str:
        return f"{self.name}_{aliases.schema_of(alias)}"

    def login(self, alias: str) -> str:
        return str(urlsplit(self.url(alias)).username)

    def apply(self, *options: str) -> str:
        return self.workspace.manage(
            *("permissions", "apply", "--postgres", *options),
            environment={**self.environment, "ADMINISTRATOR_URL": self.administrator},
        )

    def withdrawn(self) -> bool:
        """Whether the former logins have lost their role; they keep it while one of them is connected."""
        try:
            self.apply("--withdraw-other-logins")
        except AssertionError as error:
            assert "still connected" in str(error)  # noqa: PT017 - anything else is a failure
            return False
        return True

    def replace_logins(self, suffix: str) -> None:
        """Give every URL another login with another password."""
        for alias in ("default", *MODULES):
            variable = "DATABASE_URL" if alias == "default" else f"{alias.upper()}_DATABASE_URL"
            self.environment[variable] = url_of(self.administrator, self.name, f"{self.name}_{alias}{suffix}")


def url_of(administrator: str, database: str, login: str) -> str:
    address = urlsplit(administrator)
    location = address.netloc.rpartition("@")[2]
    netloc = f"{login}:{secrets.token_hex(8)}@{location}"
    return urlunsplit((address.scheme, netloc, f"/{database}", address.query, ""))


@contextmanager
def installation(postgres_url: str, broker_url: str, folder: Path) -> Iterator[Installation]:
    name = f"pangaea_walls_{secrets.token_hex(4)}"
    environment = monolith_environment(
        database_url="", broker_url=broker_url, signing_key=ECKey.generate_key("P-256")
    ) | {"DATABASE_LOGIN_CONNECTIONS": str(LIMIT)}
    with workspace(folder) as space:
        found = Installation(name, postgres_url, space, environment)
        found.replace_logins("_a")
        try:
            yield found
        finally:
            space.stop()
            with psycopg.connect(postgres_url, autocommit=True) as administrator:
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                administrator.execute(drop)
                drop_roles(administrator, name)


@pytest.fixture(scope="module")
def walled(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation without processes, with one table per module."""
    with installation(postgres_url, UNUSED, tmp_path_factory.mktemp("walls")) as found:
        found.apply()
        for alias in MODULES:
            with psycopg.connect(found.url(alias), autocommit=True) as connection:
                table = sql.SQL("CREATE TABLE {}.secret AS SELECT {}::text AS text")
                connection.execute(table.format(sql.Identifier(alias), sql.Literal(alias)))
        yield found


class TestALoginOfAModule:
    def test_becomes_the_role_that_owns_its_schema_and_reads_it(self, walled: Installation) -> None:
        with psycopg.connect(walled.url("orders")) as connection:
            row = connection.execute("SELECT current_user, session_user, text FROM orders.secret").fetchone()
            assert row == (walled.role("orders"), walled.login("orders"), "orders")

    @pytest.mark.parametrize("start", ["", "SET ROLE NONE"], ids=["as its role", "as itself"])
    @pytest.mark.parametrize(
        "statement",
        [
            "SET ROLE {users_role}",
            "SET ROLE {users_login}",
            "SET ROLE {ops_role}",
            "SET SESSION AUTHORIZATION {users_login}",
            "SELECT text FROM users.secret",
            "CREATE TABLE users.squatter (id int)",
            "CREATE SCHEMA squatter",
            "CREATE TABLE public.squatter (id int)",
            "CREATE TEMPORARY TABLE squatter (id int)",
            "GRANT {users_role} TO {orders_login}",
            "CREATE ROLE squatter",
            "DROP DATABASE {database}",
        ],
    )
    def test_is_refused_what_is_not_its_own(self, walled: Installation, start: str, statement: str) -> None:
        names = {
            "database": walled.name,
            "users_role": walled.role("users"),
            "ops_role": walled.role("default"),
            "users_login": walled.login("users"),
            "orders_login": walled.login("orders"),
        }
        with psycopg.connect(walled.url("orders"), autocommit=True) as connection:
            if start:
                connection.execute(start)
            with pytest.raises(REFUSED):
                connection.execute(statement.format(**names))

    def test_has_a_limit_of_connections(self, walled: Installation) -> None:
        with psycopg.connect(walled.administrator) as administrator:
            rows = administrator.execute(
                "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolcanlogin AND starts_with(rolname, %s)",
                [f"{walled.name}_"],
            ).fetchall()
        assert dict(rows) == {walled.login(alias): LIMIT for alias in ("default", *MODULES)}

    def test_keeps_its_password_out_of_what_is_printed(self, walled: Installation) -> None:
        printed = walled.apply()
        assert not any(str(urlsplit(walled.url(alias)).password) in printed for alias in ("default", *MODULES))


@pytest.mark.django_db(databases="__all__")
@pytest.mark.usefixtures("postgresql_only")
@pytest.mark.full
class TestPermissionsCheck:
    def check(self, walled: Installation) -> str:
        try:
            walled.workspace.manage("permissions", "check", "--postgres", environment=walled.environment)
        except AssertionError as error:
            return str(error)
        return ""

    def test_passes_where_the_rights_are_as_declared(self, walled: Installation) -> None:
        assert self.check(walled) == ""

    def test_names_what_is_missing_and_what_is_more(self, walled: Installation) -> None:
        login, role, other = walled.login("orders"), walled.role("orders"), walled.role("users")
        inside = psycopg.conninfo.make_conninfo(walled.administrator, dbname=walled.name)
        with psycopg.connect(inside, autocommit=True) as administrator:
            changes = [
                (f"ALTER ROLE {login} CREATEROLE BYPASSRLS", f"ALTER ROLE {login} NOCREATEROLE NOBYPASSRLS"),
                (f"GRANT {other} TO {login}", f"REVOKE {other} FROM {login}"),
                (f"GRANT CONNECT ON DATABASE {walled.name} TO PUBLIC", "SELECT"),
                ("ALTER SCHEMA orders OWNER TO CURRENT_USER", f"ALTER SCHEMA orders OWNER TO {role}"),
                ("DROP SCHEMA users_shadow", "SELECT"),
                (f"ALTER ROLE {login} IN DATABASE {walled.name} RESET role", "SELECT"),
            ]
            for change, _ in changes:
                administrator.execute(change.encode())
            text = self.check(walled)
            for _, undo in changes:
                administrator.execute(undo.encode())
        for named in (
            f"{login} is CREATEROLE, BYPASSRLS, which no module needs.",
            f"{login} is a member of {other}",
            f"Every login of the server may connect to the database {walled.name}",
            f"The schema orders belongs to postgres: ALTER SCHEMA orders OWNER TO {role}.",
            'Missing: CREATE SCHEMA IF NOT EXISTS "users_shadow"',
            f"{login} does not become {role} when it connects.",
        ):
            assert named in text
        walled.apply()
        assert self.check(walled) == ""


class TestTheRolesOfOneLogin:
    def test_guard_against_mistakes_alone(self) -> None:
        """As docs/services.md warns, SQL of an attacker crosses from module to module under a shared DATABASE_URL."""
        role = f"{connections['users'].settings_dict['NAME']}_users"
        with direct.connect("orders") as connection:
            with pytest.raises(REFUSED):
                connection.execute("SELECT count(*) FROM users.pangaea_outbox")
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            assert connection.execute("SELECT count(*) FROM users.pangaea_outbox").fetchone() == (0,)


BEFORE = """
CREATE ROLE {shop} LOGIN PASSWORD 'x';
CREATE ROLE {orders_role} NOLOGIN;
GRANT {orders_role} TO {shop};
CREATE ROLE {users_login} LOGIN;
CREATE SCHEMA orders AUTHORIZATION {orders_role};
CREATE SCHEMA users AUTHORIZATION {users_login};
SET ROLE {orders_role};
CREATE TABLE orders.secret AS SELECT 'orders' AS text;
SET ROLE {users_login};
CREATE TABLE users.secret AS SELECT 'users' AS text;
"""
"""A monolith whose `orders` shares a login, and whose `users` has one that owns what it made."""


@pytest.mark.full
class TestADatabaseInUse:
    def test_gets_its_walls_and_keeps_its_tables(self, postgres_url: str, tmp_path: Path) -> None:
        with installation(postgres_url, UNUSED, tmp_path) as found:
            with psycopg.connect(postgres_url, autocommit=True) as administrator:
                administrator.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(found.name)))
            shop = url_of(postgres_url, found.name, f"{found.name}_shop")
            inside = urlsplit(postgres_url)._replace(path=f"/{found.name}").geturl()
            with psycopg.connect(inside, autocommit=True) as administrator:
                names = {
                    "shop": f"{found.name}_shop",
                    "orders_role": found.role("orders"),
                    "users_login": found.login("users"),
                }
                before = sql.SQL(BEFORE).format(**{key: sql.Identifier(name) for key, name in names.items()})
                administrator.execute(before)
                administrator.execute("RESET ROLE")
                shop = shop.replace(str(urlsplit(shop).password), "x")
            for options in ([], ["--withdraw-other-logins"], ["--withdraw-other-logins"]):
                found.apply(*options)
                for alias in ("orders", "users"):
                    with psycopg.connect(found.url(alias)) as connection:
                        row = connection.execute(
                            "SELECT current_user, tableowner FROM pg_tables WHERE schemaname = %s", [alias]
                        ).fetchone()
                        assert row == (found.role(alias), found.role(alias))
            # Deleting the former login is left to an administrator: here it has no membership and may connect nowhere.
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(shop)
            with psycopg.connect(inside) as administrator:
                assert administrator.execute(
                    "SELECT pg_has_role(%s, %s, 'MEMBER')", [f"{found.name}_shop", found.role("orders")]
                ).fetchone() == (False,)


@dataclass
class Load:
    """Visitors that register, order and cancel, one after the other, at any running web process.

    For each visitor an operator, who logged in before, opens a page.
    """

    urls: list[str]
    operator: httpx.Client
    done: int = 0
    failures: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(0.05):
            try:
                url = self.urls[self.done % len(self.urls)]
                assert self.operator.get(f"{url}/admin/orders/order/").status_code == HTTPStatus.OK
                with Shop(url) as shop, Customer.register(shop, full_name="A visitor") as visitor:
                    order = visitor.place((in_stock(shop), 1))["id"]
                    visitor.post(f"/api/v1/orders/{order}/cancel").raise_for_status()
            except (httpx.HTTPError, AssertionError) as error:
                self.failures.append(repr(error))
            self.done += 1

    def wait_for(self, more: int) -> None:
        goal = self.done + more
        wait_until(lambda: self.done >= goal, what=f"{more} more visits", seconds=60)


@contextmanager
def under(load: Load) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=load.run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


@pytest.mark.full
class TestAMonolithWithALoginOfEachModule:
    def test_works_and_changes_its_logins_and_key_without_a_refused_request(
        self, postgres_url: str, amqp_url: str, tmp_path: Path
    ) -> None:
        with installation(postgres_url, amqp_url, tmp_path) as shop_system:
            # A terminated process serves on for this long, so that the visits on it can finish.
            shop_system.environment["SHUTDOWN_DELAY"] = "4"
            keys = secrets.token_urlsafe(50), shop_system.environment["SECRET_KEY"]
            shop_system.environment["SECRET_KEY_FALLBACKS"] = keys[0]
            space, former = shop_system.workspace, dict(shop_system.environment)
            for _ in range(2):
                shop_system.apply()
            first, second = (ProcessSet(name, space, former) for name in ("first", "second"))
            urls = [first.start(seed=True), second.web()]
            old_web = dict(zip(urls, web_processes(space), strict=True))
            with Shop(urls[0]) as shop, Customer.register(shop, full_name="Ada Lovelace") as ada:
                ada.wait_until_known()
                assert ada.page(ada.place((in_stock(shop), 1))["id"])["status"] == "placed"

            shop_system.replace_logins("_b")
            shop_system.environment |= dict(zip(("SECRET_KEY", "SECRET_KEY_FALLBACKS"), keys, strict=True))
            shop_system.apply()
            create = ("createsuperuser", "--noinput", "--username=chief", "--email=chief@example.com")
            space.manage(*create, environment={**former, **OPERATOR})
            with ExitStack() as stack:
                operator = stack.enter_context(httpx.Client(base_url=urls[0], trust_env=False, timeout=30))
                assert log_in(operator, "/admin/login/").status_code == HTTPStatus.FOUND
                load = Load(list(urls), operator)
                stack.enter_context(under(load))
                for at, (url, process) in enumerate(old_web.items()):
                    load.wait_for(2)
                    load.urls.remove(url)
                    process.stop()
                    load.urls.append(ProcessSet(f"renewed-{at}", space, dict(shop_system.environment)).web())
                load.wait_for(4)
                with pytest.raises(AssertionError, match="still connected"):
                    shop_system.apply("--withdraw-other-logins")
                for process in (each for each in space.processes if each.environment is former and each.running):
                    process.stop()
                renewed = ProcessSet("renewed", space, dict(shop_system.environment))
                renewed.relay()
                renewed.worker()
                wait_until(shop_system.withdrawn, what="the former logins to be withdrawn", seconds=60)
                load.wait_for(4)
            assert load.failures == []
            print(f"{load.done} visits while logins and key changed")  # noqa: T201 - a figure for the reader

            for alias in ("default", *MODULES):
                url = former["DATABASE_URL" if alias == "default" else f"{alias.upper()}_DATABASE_URL"]
                with pytest.raises(
                    psycopg.OperationalError, match=r"not permitted to log in|permission denied for database"
                ):
                    psycopg.connect(url)
            space.manage("migrate", environment=shop_system.environment)
            with Shop(load.urls[0]) as shop, Customer.register(shop, full_name="Grace Hopper") as grace:
                grace.wait_until_known()
                assert grace.page(grace.place((in_stock(shop), 1))["id"])["status"] == "placed"


def in_stock(shop: Shop) -> str:
    sku: str = max(shop.products(), key=lambda product: product["in_stock"])["sku"]
    return sku


def web_processes(space: Workspace) -> list[Process]:
    return [each for each in space.processes if each.name.endswith("-web")]
