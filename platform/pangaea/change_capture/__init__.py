"""Change data capture: changed rows become messages, by database triggers in the transaction that changed them.

Public: Capture, money, enum.

    declaration           which columns are published, under which names
    sql                   the SQL that both engines share: a row as JSON, and the message that holds it
    postgresql            statement triggers with transition tables
    sqlite                row triggers
    triggers              create them after every migrate, compare them with the declarations at start
    models                how far the snapshots have come
    snapshot              publish the rows that exist already, while changes continue
    requested_snapshots   the relay's part: snapshots for subscribers that begin at the floor

Changes by the admin, by bulk updates and by raw SQL are captured like all others. Not captured are TRUNCATE (PostgreSQL
refuses it), the changes of a session that switched triggers off (`session_replication_role`), and, on SQLite, the
changes of a migration to a table that it rebuilds. Do not capture a projection's table: a rebuild would publish its
rows.
"""

from pangaea.change_capture.declaration import Capture, enum, money

__all__ = ["Capture", "enum", "money"]
