"""The backend that ENGINE names. Django looks for a DatabaseWrapper in this file."""

import psycopg
from django.db.backends.postgresql import base

from pangaea.databases.engines.postgresql.engine import PostgreSQL
from pangaea.databases.errors import MarksErrors


class DatabaseWrapper(MarksErrors, base.DatabaseWrapper):
    """Treats a connection that was opened while the database was read-only as unusable, so that it is replaced."""

    engine = PostgreSQL()

    def is_usable(self) -> bool:
        """Whether the server answers on this connection and lets it write."""
        if self.connection is None:
            return False
        try:
            # One round trip without Django's logging, like Django's own test.
            row = self.connection.execute("SELECT current_setting('transaction_read_only')").fetchone()
        except psycopg.Error:
            return False
        return bool(row == ("off",))
