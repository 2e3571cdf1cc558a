"""Change data capture: changed rows become messages, by database triggers in the transaction that changed them.

Public: Capture, money, enum.

    declaration           which columns are published, under which names
    sql                   the SQL that both engines share: a row as JSON, and a message around it
    postgresql            statement triggers with transition tables
    sqlite                row triggers
    triggers              create them after every migrate, compare them with the declarations at start
    models                how far the snapshots have come
    snapshot              publish the rows that there were before, while changes continue
    requested_snapshots   the relay's part: snapshots for subscribers that begin at the floor

The admin, bulk updates and raw SQL are captured like everything else. Not captured: TRUNCATE (refused on PostgreSQL), a
session that switched triggers off (`session_replication_role`), and the changes of a migration on SQLite to a table
that it rebuilds. Do not capture the table of a projection: a rebuild would publish.
"""

from pangaea.change_capture.declaration import Capture, enum, money

__all__ = ["Capture", "enum", "money"]
