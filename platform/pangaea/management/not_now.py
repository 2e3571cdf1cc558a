"""One line, instead of a traceback, for a command that a server does not serve now, or not before `migrate`."""

import os

import psycopg
from kombu.exceptions import OperationalError as BrokerError

from pangaea.databases import errors, migration_state
from pangaea.errors import Unavailable, first_line

EXIT_CODE = os.EX_TEMPFAIL
"""The exit code of such a command, which may succeed later."""


def explain(error: BaseException) -> str | None:
    """The line for a transient error, or for one of a database that lacks migrations; None for any other error."""
    alias = errors.alias_of(error)
    if alias and errors.kind_of(error) in errors.PASSING:
        return f"The database of {alias!r} does not serve this command now: {_line(error)}. Try again later."
    if alias and errors.kind_of(error) is errors.Kind.OUTDATED and migration_state.missing(alias):
        return f"The database of {alias!r} lacks migrations: {errors.reason_of(error)}."
    # psycopg's own: from a connection that Django does not manage.
    if isinstance(error, psycopg.OperationalError):
        return f"The database does not serve this command now: {_line(error)}. Try again later."
    if isinstance(error, BrokerError):
        return f"The broker does not serve this command now: {_line(error)}. Try again later."
    if isinstance(error, Unavailable):
        return f"{_line(error)}. Try again later."
    return None


def _line(error: BaseException) -> str:
    return first_line(error).rstrip(".")
