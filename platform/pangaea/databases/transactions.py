"""Transactions that are open for long, in the databases of the modules: each of them slows every pass.

The relay finds new rows by an index of those without a position, and a consumer finds its cursor by one too. An index
keeps the entry of each former version of a row while any transaction of the database could still see it, so that each
pass steps over all of them, and no VACUUM helps.
"""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import connections

from pangaea.databases import direct, entries

HIDDEN_AFTER = 100_000
"""Transactions after which a session counts as old whose start this user may not see."""

_SESSIONS = """
SELECT datname || ', session ' || pid || ' of ' || coalesce(usename, '?')
           || coalesce(' (' || nullif(application_name, '') || ')', '') || coalesce(', ' || state, ''),
       extract(epoch FROM clock_timestamp() - xact_start)::float,
       CASE WHEN xact_start IS NULL THEN age(backend_xmin) END
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND coalesce(backend_type, 'client backend') = 'client backend'
      AND (xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
           OR (xact_start IS NULL AND age(backend_xmin) > %(hidden)s))
UNION ALL
SELECT database || ', prepared transaction ' || gid || ' of ' || owner,
       extract(epoch FROM clock_timestamp() - prepared)::float, NULL
FROM pg_prepared_xacts
WHERE database = current_database() AND prepared < clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY 2 DESC NULLS LAST
"""


@dataclass(frozen=True, slots=True)
class OldTransaction:
    """Who holds it, and for how long; where this user may not see that, how many later transactions it holds up."""

    holder: str
    age: timedelta | None
    behind: int | None = None


def older_than_allowed(aliases: Iterable[str]) -> dict[str, list[OldTransaction]]:
    """The transactions older than CHECK_TRANSACTION_AT_MOST, the oldest first, by alias; each database is asked once.

    SQLite has none: one that writes is bounded by the time-out of those that wait for it. Raises psycopg's
    OperationalError when a database does not answer.
    """
    limits = {"seconds": settings.PANGAEA.check_transaction_at_most.total_seconds(), "hidden": HIDDEN_AFTER}
    found: dict[str, list[OldTransaction]] = {}
    for alias in _one_for_each_database(aliases):
        # As who logs in: a module's role sees no other role's session.
        with closing(direct.connect(alias, as_role=False)) as session:
            found[alias] = [
                OldTransaction(holder, None if seconds is None else timedelta(seconds=seconds), behind)
                for holder, seconds, behind in session.execute(_SESSIONS, limits).fetchall()
            ]
    return found


def _one_for_each_database(aliases: Iterable[str]) -> list[str]:
    found: dict[tuple[str, str, str], str] = {}
    for alias in aliases:
        configuration = connections[alias].settings_dict
        if configuration["ENGINE"] == entries.POSTGRESQL:
            found.setdefault((configuration["HOST"], str(configuration["PORT"]), configuration["NAME"]), alias)
    return list(found.values())
