"""PostgreSQL: many processes, many writers.

ENGINE in Django's DATABASES names this package.

    base               Django's backend of that name, extended
    client             psql for `manage.py dbshell`
    engine             the engine
    entry              a module's entry in Django's DATABASES
    isolation          what a connection asked for when it started, compared with what it got
    direct             psycopg connections that Django does not manage
    sessions           connections that hold a lock or listen until they end
    relay_session      which relay leads (an advisory lock), and its wake-up (LISTEN)
    notifier           wakes relays after a commit (NOTIFY)
    sequences          sequences behind their tables
    row_versions       triggers that raise the versions of rows
    old_transactions   transactions that have been open for long
"""
