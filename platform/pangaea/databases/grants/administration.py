"""The logins, databases and rights that the aliases of this process need in PostgreSQL, for an administrator.

A module's schemas belong to a role that cannot log in (`<database>_<module>`). The login of a URL of its own may become
only this role, and does so when it connects. The login owns nothing, so it can be exchanged for a second login. The
login of a shared DATABASE_URL is a member of the roles of all aliases on that URL.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import sql

from pangaea.addresses import postgresql
from pangaea.databases import aliases, entries
from pangaea.databases.grants import rights
from pangaea.databases.grants.rights import Right
from pangaea.errors import Misconfigured

HEADER = """\
-- The modules' logins, databases and rights in PostgreSQL, rendered by `manage.py permissions render --postgres` from
-- the installed modules and their database URLs. For an administrator, who may repeat it:
-- psql --set ON_ERROR_STOP=1 --file THIS_FILE
-- The roles that log in have no password yet: \\password NAME
"""

NEVER = sql.SQL("SELECT false").format()
"""The `done` query of a statement that is executed every time."""
UTF_8 = sql.SQL("ENCODING 'UTF8' TEMPLATE template0")
"""The encoding of a created database, whatever the server's default is. Only template0 can be copied with another."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A query whose rows are statements to execute."""

    query: sql.Composed


Step = Right | Listing


@dataclass(frozen=True, slots=True)
class Login:
    """A login, its password and its aliases. `role` owns the schemas of the aliases that have a URL of their own."""

    name: str
    password: str
    aliases: list[str] = field(default_factory=list)
    role: str = ""

    @property
    def owners(self) -> dict[str, str]:
        """The role that owns the schemas of each alias."""
        return {alias: _shared_role(alias) or self.role for alias in self.aliases}


@dataclass(frozen=True, slots=True)
class Database:
    """A database, and its logins."""

    name: str
    logins: list[Login]

    def foundation(self, secrets: dict[str, str] | None = None) -> Iterator[Step]:
        """The steps for logins, roles and the database. `secrets` has the passwords as PostgreSQL stores them."""
        for login in self.logins:
            yield from _login(login, (secrets or {}).get(login.name, ""))
        yield from self._database()
        name = sql.Identifier(self.name)
        # TEMPORARY is revoked too: no module creates temporary tables.
        yield Right(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name), NEVER)
        for login in self.logins:
            grantee = sql.Identifier(login.name)
            yield Right(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, grantee), NEVER)
            if login.role:
                become = sql.SQL("ALTER ROLE {} IN DATABASE {} SET role = {}")
                yield Right(become.format(grantee, name, sql.Literal(login.role)), NEVER)

    def inside(self) -> Iterator[Step]:
        """The steps that are executed in the database itself."""
        yield Right(sql.SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC").format(), NEVER)
        for login in self.logins:
            if login.role:
                # A login that connects without such a role owns the objects that it creates.
                former, role = sql.Identifier(login.name), sql.Identifier(login.role)
                owns = sql.SQL(
                    "SELECT NOT EXISTS (SELECT FROM pg_namespace JOIN pg_roles ON pg_roles.oid = nspowner"
                    " WHERE rolname = {})"
                ).format(sql.Literal(login.name))
                reassign = sql.SQL("REASSIGN OWNED BY {} TO {}").format(former, role)
                yield Right(reassign, owns, repeatable=False)
            for alias, owner in login.owners.items():
                yield from rights.rights_of(alias, owner=owner, login=login.name)

    def withdrawals(self) -> Iterator[Step]:
        """Revoke the roles from all other logins: former logins of modules, and the shared login of a former monolith.

        Fails while such a login is connected. These logins lose the right to connect to the database. Logins that
        `permissions` created for a module also lose the right to log in.
        """
        wanted = _literals(login.name for login in self.logins)
        for login in self.logins:
            for role in sorted(set(login.owners.values())):
                of_others = OTHERS.format(role=sql.Literal(role), login=sql.Literal(login.name))
                body = _STILL_CONNECTED.format(of_others=of_others, role=sql.Literal(role)).as_string()
                yield Right(sql.SQL("DO {}").format(sql.Literal(body)), NEVER)
                yield Listing(
                    sql.SQL(
                        "SELECT format('REVOKE CONNECT ON DATABASE %I FROM %I', {}::text, rolname) FROM ({}) AS others"
                        " WHERE rolname NOT IN ({})"
                    ).format(sql.Literal(self.name), of_others, wanted)
                )
                yield Listing(
                    sql.SQL("SELECT format('REVOKE %I FROM %I', {}, rolname) FROM ({}) AS others").format(
                        sql.Literal(role), of_others
                    )
                )
                if login.role:
                    retired = sql.SQL(
                        "SELECT format('ALTER ROLE %I NOLOGIN', rolname) FROM pg_db_role_setting"
                        " JOIN pg_database AS d ON d.oid = setdatabase JOIN pg_roles AS r ON r.oid = setrole"
                        " WHERE datname = {name} AND {setting} = ANY (setconfig) AND rolname NOT IN ({wanted})"
                    )
                    setting = sql.Literal(f"role={login.role}")
                    yield Listing(retired.format(name=sql.Literal(self.name), setting=setting, wanted=wanted))

    def _database(self) -> Iterator[Right]:
        name = sql.Identifier(self.name)
        exists = sql.SQL("SELECT EXISTS (SELECT FROM pg_database WHERE datname = {})").format(sql.Literal(self.name))
        if len(self.logins) == 1:
            (login,) = self.logins
            owner = sql.Identifier(login.role or login.name)
            create = sql.SQL("CREATE DATABASE {} OWNER {} {}").format(name, owner, UTF_8)
            yield Right(create, exists, repeatable=False)
            return
        # No module's role owns it: an owner could create schemas, admit logins, or drop the database with all modules.
        yield Right(sql.SQL("CREATE DATABASE {} {}").format(name, UTF_8), exists, repeatable=False)
        roles = {role for login in self.logins for role in (login.name, *login.owners.values())}
        is_foreign = sql.SQL(
            "SELECT pg_get_userbyid(datdba) NOT IN ({}) OR pg_get_userbyid(datdba) = current_user"
            " FROM pg_database WHERE datname = {}"
        ).format(_literals(roles), sql.Literal(self.name))
        yield Right(sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(name), is_foreign)


OTHERS = sql.SQL(
    "SELECT m.rolname FROM pg_auth_members AS a JOIN pg_roles AS r ON r.oid = a.roleid"
    " JOIN pg_roles AS m ON m.oid = a.member WHERE r.rolname = {role} AND m.rolname NOT IN ({login}, current_user)"
    " AND NOT m.rolsuper AND NOT a.admin_option"
)
"""Members of a role that are neither the given login nor an administrator."""

_STILL_CONNECTED = sql.SQL(
    "DECLARE others text; BEGIN"
    " SELECT string_agg(format('%s (%s)', usename, sessions), ', ') INTO others FROM (SELECT usename, count(*)"
    " AS sessions FROM pg_stat_activity WHERE datname IS NOT NULL AND usename IN ({of_others}) GROUP BY 1) AS them;"
    " IF others IS NOT NULL THEN RAISE EXCEPTION"
    " 'Other logins of % are still connected: %. Restart their processes with the login of the URL first.',"
    " {role}, others; END IF; END"
)


def wanted() -> list[Database]:
    """The databases of the installed modules' URLs. Raises Misconfigured if one is not PostgreSQL's."""
    found: dict[str, dict[str, Login]] = {}
    for alias in aliases.installed():
        entry = connections[alias].settings_dict
        if entry["ENGINE"] != entries.POSTGRESQL:
            raise Misconfigured(f"The database of {alias!r} is not PostgreSQL: set DATABASE_URL to postgres://…")
        direct = entry["PANGAEA"]["direct"]
        name, login, password = (
            (direct.database, direct.user, direct.password)
            if direct
            else (entry["NAME"], entry["USER"], entry["PASSWORD"])
        )
        if not login:
            raise Misconfigured(f"The database URL of {alias!r} names no login: postgres://USER:…")
        logins = found.setdefault(name, {})
        logins.setdefault(login, Login(login, password)).aliases.append(alias)
    return [Database(name, [_with_role(name, login) for login in logins.values()]) for name, logins in found.items()]


def render(*, withdraw: bool = False) -> str:
    """The rights as a script for psql, without passwords. Raises Misconfigured for another engine."""
    lines = [HEADER]
    for database in wanted():
        lines += [_for_psql(each) for each in database.foundation()]
        # psql reads a quoted name as SQL does.
        lines.append(f"\\connect {sql.Identifier(database.name).as_string()}")
        lines += [_for_psql(each) for each in database.inside()]
        if withdraw:
            lines += [_for_psql(each) for each in database.withdrawals()]
        lines.append("")
    return "\n".join(lines)


def apply(administrator_url: str, *, withdraw: bool = False) -> None:
    """Create what is missing, and give each login its URL's password. Raises Misconfigured if the server refuses.

    `administrator_url` names the one server that holds all the databases. `withdraw` revokes the modules' roles from
    all other logins, and fails while one of them is connected.
    """
    try:
        server = postgresql.parse(administrator_url).libpq()
    except Misconfigured as error:
        raise Misconfigured(
            f"The administrator's URL {error} It is like postgresql://USER:PASSWORD@HOST/postgres."
        ) from None
    try:
        for database in wanted():
            with psycopg.connect(**server, autocommit=True) as connection:
                secrets = {
                    login.name: connection.pgconn.encrypt_password(
                        login.password.encode(), login.name.encode(), b"scram-sha-256"
                    ).decode()
                    for login in database.logins
                    if login.password
                }
                _execute(connection, database.foundation(secrets))
            with psycopg.connect(**{**server, "dbname": database.name}, autocommit=True) as connection:
                _execute(connection, database.inside())
                if withdraw:
                    _execute(connection, database.withdrawals())
    except psycopg.Error as error:
        raise Misconfigured(f"PostgreSQL refused: {error}") from error


def _shared_role(alias: str) -> str:
    return str(connections[alias].settings_dict["PANGAEA"]["role"])


def _with_role(database: str, login: Login) -> Login:
    """The login with a role named after its first module, if one of its aliases has a URL of its own."""
    own = sorted((alias for alias in login.aliases if not _shared_role(alias)), key=_order)
    role = postgresql.role_of(database, aliases.schema_of(own[0])) if own else ""
    return Login(login.name, login.password, login.aliases, role)


def _order(alias: str) -> tuple[bool, str]:
    return alias == DEFAULT_DB_ALIAS, alias


def _login(login: Login, secret: str) -> Iterator[Right]:
    name = sql.Identifier(login.name)
    yield rights.create_role(login.name, may_log_in=True)
    # A login that may create roles may also become any of them (PostgreSQL before 16).
    limit = settings.PANGAEA.database_login_connections * len(login.aliases)
    limited = sql.SQL("ALTER ROLE {} LOGIN NOCREATEROLE NOCREATEDB CONNECTION LIMIT {}")
    yield Right(
        limited.format(name, sql.Literal(limit)), sql.SQL("SELECT {} = current_user").format(sql.Literal(login.name))
    )
    if secret:
        yield Right(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(secret)), NEVER)
    if login.role:
        yield rights.create_role(login.role)
        yield rights.grant_role(login.role, to=login.name)


def _literals(texts: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Literal(each) for each in sorted(texts))


def _execute(connection: "psycopg.Connection[tuple[object, ...]]", steps: Iterator[Step]) -> None:
    for step in steps:
        if isinstance(step, Listing):
            for (statement,) in connection.execute(step.query).fetchall():
                connection.execute(sql.SQL(str(statement)))  # quoted by the server's format()
        elif connection.execute(step.done).fetchone() != (True,):
            connection.execute(step.statement)


def _for_psql(step: Step) -> str:
    if isinstance(step, Listing):
        return f"{step.query.as_string()} \\gexec"
    statement = step.statement.as_string()
    if step.repeatable:
        return f"{statement};"
    return f"SELECT {sql.Literal(statement).as_string()} WHERE NOT ({step.done.as_string()}) \\gexec"
