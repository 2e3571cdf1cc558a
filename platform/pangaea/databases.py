"""One alias a module: URL -> engine, schema and role; which app lives where; the router.

PostgreSQL: a schema named like the alias (`ops` for `default`). With a shared URL the connection takes the module's
role (`<database>_<module>`) at start, as PostgREST's authenticator does; with a URL of its own a module logs in as
itself, and becomes the role that owns its schema where `permissions` made one. SQLite: a file an alias.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model
from environ import Env
from psycopg import sql

from pangaea import modules
from pangaea.errors import Misuse

KERNEL = "pangaea"
POSTGRESQL = "pangaea.postgresql"
SQLITE = "pangaea.sqlite"
ANSWER_TIMEOUT = timedelta(seconds=20)
"""How long the other end of a connection may not answer on TCP's level, unless a setting says otherwise."""
DIRECT_PARAMETERS = {"host": "HOST", "port": "PORT", "dbname": "NAME", "user": "USER", "password": "PASSWORD"}
"""libpq's name of what a direct URL replaces, and Django's."""


def configure(
    urls: Mapping[str, str],
    *,
    shared_url: str = "",
    direct_urls: Mapping[str, str] | None = None,
    connection_age: timedelta = timedelta(0),
    answer_timeout: timedelta = ANSWER_TIMEOUT,
) -> dict[str, dict[str, Any]]:
    """Django's DATABASES for these aliases. An alias on `shared_url` takes a role of its own there.

    An alias in `direct_urls` reaches its database through a pooler of transactions, and past it by that URL.
    """
    direct = direct_urls or {}
    return {
        alias: _entry(
            alias,
            url,
            shared=url == shared_url,
            direct=direct.get(alias, ""),
            age=connection_age,
            answer_timeout=answer_timeout,
        )
        for alias, url in urls.items()
    }


def _parsed(alias: str, url: str) -> dict[str, Any]:
    try:
        return dict(Env.db_url_config(url))
    except ValueError as error:
        message = (
            f"The database URL of {alias!r} is malformed ({error}). Expected postgres://user:password@host:5432/name."
        )
        raise ImproperlyConfigured(message) from error


def _entry(
    alias: str, url: str, *, shared: bool, direct: str, age: timedelta, answer_timeout: timedelta
) -> dict[str, Any]:
    entry = _parsed(alias, url)
    entry["TEST"] = {"DEPENDENCIES": []}
    if "sqlite" in str(entry["ENGINE"]):
        return entry | {
            "ENGINE": SQLITE,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA recursive_triggers=ON;",
            },
        }
    if entry["ENGINE"] != "django.db.backends.postgresql":
        message = f"The database URL of {alias!r} must be postgres:// (or sqlite:///); it gives {entry['ENGINE']}."
        raise ImproperlyConfigured(message)
    schema = schema_of(alias)
    past_pooler = _parsed(alias, direct) if direct else {}
    # A pooler may call the database by another name.
    name = (past_pooler or entry)["NAME"]
    own: dict[str, Any] = {
        "schema": schema,
        "role": f"{name}_{schema}" if shared else "",
        "session": _given_up_after(answer_timeout, prefix="tcp_"),
        "direct": past_pooler,
    }
    return entry | {
        "ENGINE": POSTGRESQL,
        "OPTIONS": {
            # A host that drops packets would otherwise hold a request, and /readyz, for minutes.
            "connect_timeout": 3,
            **_given_up_after(answer_timeout, prefix=""),
            **entry.get("OPTIONS", {}),
            "options": startup_options(own, schema),
            # Sent with each BEGIN too: a pooler may drop the options above.
            "isolation_level": psycopg.IsolationLevel.READ_COMMITTED,
        },
        "CONN_MAX_AGE": age.total_seconds(),
        "CONN_HEALTH_CHECKS": True,
        # The next transaction may be another session's: it has no cursor and no prepared statement of this one.
        "DISABLE_SERVER_SIDE_CURSORS": bool(direct) or entry.get("DISABLE_SERVER_SIDE_CURSORS", False),
        "PANGAEA": own,
    }


def _given_up_after(limit: timedelta, *, prefix: str) -> dict[str, int]:
    """TCP's settings by which an end that waits for the other gives up after about that time; else it takes hours.

    Both ends need them: the server holds the locks of a client that is gone. libpq's have no prefix.
    """
    seconds = limit.total_seconds()
    interval = max(1, round(seconds / 6))
    return {
        f"{prefix}keepalives_idle": max(1, round(seconds) - 3 * interval),
        f"{prefix}keepalives_interval": interval,
        f"{prefix}keepalives_count": 3,
        "tcp_user_timeout": round(seconds * 1000),
    }


def startup_options(own: Mapping[str, Any], schema: str) -> str:
    """What a connection of an alias asks for at its start, from the alias's PANGAEA entry.

    Names are looked up in that schema alone, as the alias's role. READ COMMITTED is what the kernel's locks are made
    for: after a wait the next statement sees what the other transaction has committed, whatever the server's default.
    """
    wanted = {"search_path": schema, "default_transaction_isolation": "read\\ committed", **own["session"]}
    if own["role"]:
        wanted["role"] = own["role"]
    return " ".join(f"-c {name}={value}" for name, value in wanted.items())


def limit_waits() -> None:
    """Let statements of connections that are opened from here on, and their waits for locks, end after their settings.

    For processes that serve: web, relay and worker. A migration, a snapshot or a rebuild takes the time it needs.
    """
    limits = {
        "statement_timeout": settings.PANGAEA.database_statement_timeout,
        "lock_timeout": settings.PANGAEA.database_lock_timeout,
    }
    for alias in aliases():
        entry = connections.settings[alias]
        if entry["ENGINE"] == POSTGRESQL:
            own = entry["PANGAEA"]
            own["session"] |= {name: round(limit.total_seconds() * 1000) for name, limit in limits.items()}
            entry["OPTIONS"]["options"] = startup_options(own, own["schema"])


def schema_of(alias: str) -> str:
    """The PostgreSQL schema of an alias."""
    return "ops" if alias == DEFAULT_DB_ALIAS else alias


def shadow_schema_of(alias: str) -> str:
    """The PostgreSQL schema in which a module's projections are built anew; empty at other times."""
    return f"{schema_of(alias)}_shadow"


def aliases() -> list[str]:
    """`default`, then one alias per installed module."""
    return [DEFAULT_DB_ALIAS, *modules.labels()]


def apps_of(alias: str) -> list[str]:
    """Labels of the apps whose tables live behind that alias."""
    if alias != DEFAULT_DB_ALIAS:
        return [KERNEL, alias]
    elsewhere = {KERNEL, *modules.labels()}
    return [config.label for config in apps.get_app_configs() if config.label not in elsewhere]


def provision(wanted: Iterable[str] | None = None) -> None:
    """Create the schemas and roles that are missing (PostgreSQL). Needs the right to do so only when some are.

    Without that right it raises ImproperlyConfigured with all the statements for somebody who has it.
    """
    refused: list[str] = []
    for alias, statements in unprovisioned(wanted).items():
        try:
            _provision(alias)
        except psycopg.errors.InsufficientPrivilege:
            refused += statements
    if refused:
        joined = ";\n  ".join(refused)
        message = f"The database user may not prepare its schemas. Let an administrator run:\n  {joined};"
        raise ImproperlyConfigured(message)


def unprovisioned(wanted: Iterable[str] | None = None) -> dict[str, list[str]]:
    """The aliases that lack a schema or a role, each with the statements that would make them; changes nothing."""
    lacking = {}
    for alias in wanted if wanted is not None else aliases():
        if connections[alias].settings_dict["ENGINE"] == POSTGRESQL:
            with connect_directly(alias, as_role=False) as connection:
                statements = [each.as_string(connection) for each in _missing(alias, connection)]
            if statements:
                lacking[alias] = statements
    return lacking


def direct_address(alias: str) -> tuple[str, ...]:
    """Which database `connect_directly` reaches, and as whom."""
    entry = connections[alias].settings_dict
    return tuple(str((entry["PANGAEA"]["direct"] or entry)[name]) for name in ("HOST", "PORT", "NAME", "USER"))


def connect_directly(
    alias: str, *, as_role: bool = True, autocommit: bool = True, parameters: Mapping[str, int] | None = None
) -> "psycopg.Connection[Any]":
    """A psycopg connection of one's own to an alias's database, outside Django's handling; the caller closes it.

    It leads past a pooler where a direct URL is set. `parameters` are libpq's, beside those of the alias.
    """
    params: dict[str, Any] = connections[alias].get_connection_params()
    if direct := connections[alias].settings_dict["PANGAEA"]["direct"]:
        own = {name: direct[key] for name, key in DIRECT_PARAMETERS.items() if direct[key]}
        params = {name: params[name] for name in params if name not in DIRECT_PARAMETERS} | own
        params.update(direct.get("OPTIONS", {}))
    if not as_role:
        params.pop("options", None)
    for django_only in ("cursor_factory", "context", "prepare_threshold", "server_side_binding", "isolation_level"):
        params.pop(django_only, None)
    params.pop("assume_role", None)
    params.update(parameters or {})
    return psycopg.connect(**params, autocommit=autocommit)


def _provision(alias: str) -> None:
    with connect_directly(alias, as_role=False) as connection, connection.transaction():
        # One at a time: two processes that migrate at once would otherwise both create.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('pangaea.provision'))")
        for statement in _missing(alias, connection):
            connection.execute(statement)


def _missing(alias: str, connection: "psycopg.Connection[Any]") -> list[sql.Composed]:
    # A login may become a role when it connects (`permissions`), which then owns what it makes.
    ((owner,),) = connection.execute("SELECT current_user").fetchall()
    rights = rights_of(alias, owner=owner, login=connection.info.user)
    return [each.statement for each in rights if connection.execute(each.done).fetchone() != (True,)]


@dataclass(frozen=True, slots=True)
class Right:
    """A statement that gives an alias its place in a database, and a query that says whether that is done.

    `repeatable`: the statement may run again where it is done.
    """

    statement: sql.Composed
    done: sql.Composed
    repeatable: bool = True


def rights_of(alias: str, *, owner: str, login: str) -> list[Right]:
    """The role and the schemas of an alias (PostgreSQL), in order. `owner` owns the schemas, `login` is who connects.

    A role is made where the alias has one of its own on a shared URL; then that is the owner.
    """
    own = connections[alias].settings_dict["PANGAEA"]
    schema, role = own["schema"], own["role"]
    rights = []
    if role:
        there = sql.SQL("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = {})").format(sql.Literal(role))
        create = sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role))
        # By name, because an administrator may have to run it.
        grant = sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(login))
        rights += [Right(create, there, repeatable=False), Right(grant, is_member(login, role))]
    for each in [schema] if alias == DEFAULT_DB_ALIAS else [schema, shadow_schema_of(alias)]:
        place = sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}")
        there = sql.SQL("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = {})").format(sql.Literal(each))
        rights.append(Right(place.format(sql.Identifier(each), sql.Identifier(role or owner)), there))
    return rights


def is_member(login: str, role: str) -> sql.Composed:
    """A query that says whether that login may become that role."""
    named = sql.SQL("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = {}").format(sql.Literal(role))
    return named + sql.SQL(" AND pg_has_role({}, oid, 'MEMBER'))").format(sql.Literal(login))


class Router:
    """Sends every model to the alias of its app, and refuses to guess.

    The kernel's tables exist once a module, so their queries must say which: `Stream.objects.using("orders")`.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        """The alias of the model's app. Raises Misuse when there is none."""
        return self._route(model, hints)

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        """The alias of the model's app. Raises Misuse when there is none."""
        return self._route(model, hints)

    def allow_relation(self, first: Model, second: Model, **_hints: Any) -> bool:
        """Relations stay inside one database."""
        return first._state.db == second._state.db

    def allow_migrate(self, db: str, app_label: str, **_hints: Any) -> bool:
        """Tables are made only behind the alias of their app."""
        return app_label in apps_of(db)

    def _route(self, model: type[Model], hints: Mapping[str, Any]) -> str:
        label = model._meta.app_label
        if label == KERNEL:
            instance = hints.get("instance")
            if instance is not None and instance._state.db:
                return str(instance._state.db)
            message = f"{model.__name__} exists once in every module's schema: say which with .using(<module>)."
            raise Misuse(message)
        if label in modules.labels():
            return label
        if label in apps.app_configs:
            return DEFAULT_DB_ALIAS
        message = (
            f"{model.__name__} belongs to the app {label!r}, which is not installed in this process. "
            "Add it to INSTALLED_APPS, or its module to PANGAEA_MODULES."
        )
        raise Misuse(message)
