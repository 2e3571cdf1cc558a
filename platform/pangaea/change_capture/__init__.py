"""Change data capture: changed rows become messages, by database triggers in the transaction that changed them.

declaration   Capture, money, enum: which columns, under which names
dialects      what a captured row looks like as SQL, in PostgreSQL and in SQLite; `sql` is what they share
triggers      made anew after every migrate, compared with the declarations at start
snapshot      the rows that were there before, as messages, while changes go on

The admin, bulk updates and raw SQL are captured like everything else. Not captured: TRUNCATE (refused on PostgreSQL), a
session that switched triggers off (`session_replication_role`), and what a migration does on SQLite to a table that it
rebuilds. Do not capture the table of a projection: it would speak when it is rebuilt.
"""

from pangaea.change_capture.declaration import Capture, enum, money

__all__ = ["Capture", "enum", "money"]
