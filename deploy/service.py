"""The preparation of one service: its rights in PostgreSQL, its tables, the demo's data. Each step is a line of output.

`python -m deploy.service`, in the environment of the service, with ADMINISTRATOR_URL. One process does all of them,
because most of the time of a command is its start.
"""

import os
import sys
from io import StringIO

import django
import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

TURN = 0x50414E47
"""The advisory lock under which one service at a time changes the server's roles, which all share a catalogue."""


def main() -> None:
    """Prepare this process's modules. Raises CommandError, and what the settings and the server raise."""
    django.setup()
    print("rights in PostgreSQL", flush=True)
    with psycopg.connect(os.environ["ADMINISTRATOR_URL"], autocommit=True) as administrator:
        administrator.execute("SELECT pg_advisory_lock(%s)", [TURN])
        call_command("permissions", "apply", "--postgres", stdout=StringIO())
    print("tables", flush=True)
    call_command("migrate", verbosity=0, stdout=StringIO())
    print("the demo's data and log-ins", flush=True)
    call_command("seed_demo", "--log-ins", stdout=StringIO())


if __name__ == "__main__":
    try:
        main()
    except (CommandError, ImproperlyConfigured, psycopg.OperationalError) as error:
        sys.exit(str(error))
