"""Transactions that have been open for long. Each of them slows every pass of a relay and every batch of a worker.

The relay finds new rows by an index of the rows without a position, and a consumer also finds its cursor by an index.
An index keeps the entries of a row's former versions as long as any transaction of the database could still see them.
Each pass steps over all these entries, and VACUUM cannot remove them.
"""

from contextlib import closing
from datetime import timedelta

from pangaea.databases.engines.base import OldTransaction
from pangaea.databases.engines.postgresql import direct

HIDDEN_AFTER = 100_000
"""If this login may not see when a transaction began, it counts as old once this many transactions came after it."""

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


def older_than(alias: str, limit: timedelta) -> list[OldTransaction]:
    """The transactions of an alias's database that are older than `limit`, the oldest first."""
    limits = {"seconds": limit.total_seconds(), "hidden": HIDDEN_AFTER}
    # Connected as the login: a module's role sees no other role's session.
    with direct.marked(alias), closing(direct.connect(alias, as_role=False)) as session:
        return [
            OldTransaction(holder, None if seconds is None else timedelta(seconds=seconds), behind)
            for holder, seconds, behind in session.execute(_SESSIONS, limits).fetchall()
        ]
