"""The backend that ENGINE names. Django looks for a DatabaseWrapper in this file."""

import psycopg
from django.db.backends.postgresql import base

from pangaea.databases.engines.postgresql import isolation
from pangaea.databases.engines.postgresql.client import DatabaseClient
from pangaea.databases.engines.postgresql.engine import PostgreSQL
from pangaea.databases.errors import MarksErrors


class DatabaseWrapper(MarksErrors, base.DatabaseWrapper):
    """Refuses a connection that is not as the settings ask (see `isolation`).

    Treats a connection that was opened while the database was read-only as unusable, so that it is replaced.
    """

    engine = PostgreSQL()
    client_class = DatabaseClient

    def init_connection_state(self) -> None:
        """Set the session's state as Django does, and verify what the session asked for when it started."""
        super().init_connection_state()
        try:
            isolation.verify(self.connection, self.alias, self.settings_dict["PANGAEA"])
        except psycopg.Error:
            # Without a connection the error counts as a database that is unavailable.
            self.close()
            raise

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
