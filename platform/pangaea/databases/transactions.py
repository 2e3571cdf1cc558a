"""Transactions that have been open for long in the modules' databases: each of them slows relays and workers."""

from collections.abc import Iterable

from django.conf import settings
from django.db import connections

from pangaea.databases import engines
from pangaea.databases.engines.base import OldTransaction


def older_than_allowed(aliases: Iterable[str]) -> dict[str, list[OldTransaction]]:
    """The transactions older than CHECK_TRANSACTION_AT_MOST, the oldest first, by alias.

    Aliases that share a database are asked once, under the first of them. Raises OperationalError if a database
    does not answer.
    """
    limit = settings.PANGAEA.check_transaction_at_most
    return {alias: engines.of(alias).transactions_older_than(alias, limit) for alias in _one_per_database(aliases)}


def _one_per_database(aliases: Iterable[str]) -> list[str]:
    found: dict[tuple[str, str, str], str] = {}
    for alias in aliases:
        entry = connections[alias].settings_dict
        found.setdefault((entry["HOST"], str(entry["PORT"]), str(entry["NAME"])), alias)
    return list(found.values())
