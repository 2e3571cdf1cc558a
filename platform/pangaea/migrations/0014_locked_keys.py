"""The keys that a transaction has locked are counted over all of its statements."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# Each lock takes an entry in the server's shared memory; when none is left, other sessions' requests fail. So a
# transaction with more than 500 keys locks the module instead. By then it holds the module's lock in shared mode, as
# others do: if it waited for all of them, while one of them waited for its keys, they would deadlock. Hence it tries at
# every 100th key, for less than the server's deadlock_timeout, and continues without the module's lock. From 1,000 keys
# on it needs that lock, and only one transaction at a time may wait for it: a second one fails at once, alone, instead
# of both when neither releases its locks.
# The setting lasts as long as the transaction, or until the savepoint that locked the keys is rolled back: so do locks.
CREATE = """
CREATE FUNCTION pangaea_lock_module() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    module text := current_schema();
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(module, 0));
    PERFORM set_config('pangaea.locked_keys_' || module, 'all', true);
END $$;

CREATE OR REPLACE FUNCTION pangaea_lock_keys(keys text[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    module text := current_schema();
    setting text := 'pangaea.locked_keys_' || module;
    state text := coalesce(nullif(current_setting(setting, true), ''), '0');
    before integer;
    after integer;
    is_hundredth boolean;
    tries integer;
    usual_timeout text := current_setting('lock_timeout');
BEGIN
    IF state = 'all' THEN
        RETURN;
    END IF;
    before := state::integer;
    after := before + cardinality(keys);
    IF after > 500 THEN
        IF before = 0 THEN
            PERFORM pangaea_lock_module();
            RETURN;
        END IF;
        is_hundredth := (after - 1) / 100 > (before - 1) / 100;
        IF is_hundredth THEN
            -- A key that is locked again takes no further entry. One entry is the module's own.
            after := count(*) - 1 + cardinality(keys) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory';
        END IF;
        tries := CASE WHEN after > 1000 THEN 20 WHEN is_hundredth AND after > 500 THEN 1 ELSE 0 END;
        IF after > 1000 AND NOT pg_try_advisory_xact_lock(hashtextextended(module || ' many', 0)) THEN
            RAISE EXCEPTION 'Another transaction changes very many keys of % at this moment.', module
                USING ERRCODE = 'lock_not_available', HINT = 'Try again, or begin with SELECT pangaea_lock_module().';
        END IF;
        FOR attempt IN 1..tries LOOP
            BEGIN
                PERFORM set_config('lock_timeout', CASE WHEN after > 1000 THEN '500ms' ELSE '100ms' END, true);
                PERFORM pangaea_lock_module();
                PERFORM set_config('lock_timeout', usual_timeout, true);
                RETURN;
            EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
                NULL;
            END;
        END LOOP;
        IF after > 1000 THEN
            RAISE EXCEPTION 'A transaction that changes very many keys of % waits for others that do not end.', module
                USING ERRCODE = 'lock_not_available',
                      HINT = 'Change fewer rows at once, or begin with SELECT pangaea_lock_module().';
        END IF;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(module, 0));
    PERFORM pg_advisory_xact_lock(hashtextextended(module || '/' || key, 0))
        FROM (SELECT key FROM unnest(keys) AS key ORDER BY key COLLATE "C") AS sorted;
    PERFORM set_config(setting, after::text, true);
END $$;
"""
DROP = """
DROP FUNCTION pangaea_lock_module();

CREATE OR REPLACE FUNCTION pangaea_lock_keys(keys text[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    module text := current_schema();
BEGIN
    IF cardinality(keys) > 500 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(module, 0));
    ELSE
        PERFORM pg_advisory_xact_lock_shared(hashtextextended(module, 0));
        PERFORM pg_advisory_xact_lock(hashtextextended(module || '/' || key, 0))
            FROM (SELECT key FROM unnest(keys) AS key ORDER BY key COLLATE "C") AS sorted;
    END IF;
END $$;
"""


def create(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """PostgreSQL only: SQLite has one writing transaction at a time."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute(CREATE, params=None)


def drop(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Undo `create`."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute(DROP, params=None)


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0013_begin_at_the_floor")]
    operations = [migrations.RunPython(create, drop)]
