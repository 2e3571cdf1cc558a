"""Password attempts, counted before they are tried: the more of them fail, the longer the next one has to wait.

Each attempt is counted three times in the alias `default`, which every process has: for the account from this network,
for the account, and for the network (IPv4 address, or /64). An account is the name as it was typed, so that an unknown
account is answered like any other. LOG_IN_PAUSE bounds the guesses at an account from any number of addresses.
Guesses from elsewhere do not delay its owner on a network where the right password was given within KNOWN_FOR.

NIST SP 800-63B-4, 3.2.2; ADR 0025.
"""

import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac
from rest_framework.request import Request

from pangaea import errors, text
from pangaea.databases.errors import is_transient
from pangaea.identity.client_address import client_network
from pangaea.identity.models import FailureCount, Limit, Pause

log = structlog.get_logger()

KNOWN_FOR = timedelta(days=30)
"""How long a network is known after the right password was given there: as long as an unused log-in lasts."""
DELETED_AT_ONCE = 10
"""How many expired rows an attempt deletes: more than it can add."""

counts: Counter[tuple[str, str]] = Counter()
"""The attempts that this process did not accept since its start, by purpose and outcome: `failed` or `refused`."""
_counting = threading.Lock()


@dataclass(slots=True)
class Attempt:
    """One attempt at a password."""

    is_accepted: bool = False

    def accept(self) -> None:
        """Record that the password was right."""
        self.is_accepted = True


@contextmanager
def counted(purpose: str, *, account: str, request: HttpRequest | Request) -> Iterator[Attempt]:
    """Try a password in this block, and `accept()` the attempt if it is right. An attempt not accepted has failed.

    `purpose` names the kind of accounts, `account` is the name as it was typed. Raises Throttled, before the block
    runs, if the attempt has to wait. An attempt that a transient error (`is_transient`) prevents is not counted.

    Use it outside a transaction: the count must be committed before the password is tried.
    """
    keys = _Keys.of(purpose, account, client_network(request))
    try:
        before = _count(keys)
    except errors.Throttled as refusal:
        _note("log-in refused", keys, "refused", retry_after=math.ceil(refusal.retry_after.total_seconds()))
        raise
    attempt, was_tried = Attempt(), True
    try:
        yield attempt
    except Exception as error:
        was_tried = not is_transient(error)
        raise
    finally:
        if attempt.is_accepted:
            _forgive(keys, before)
        elif was_tried:
            _note("log-in failed", keys, "failed")
        else:
            _take_back(keys, before)


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of the rows that count an attempt."""

    purpose: str
    network: str | None
    account: str
    pair: str
    address: str | None

    @classmethod
    def of(cls, purpose: str, account: str, network: str | None) -> "_Keys":
        name = text.folded(account)
        return cls(
            purpose=purpose,
            network=network,
            account=_key(purpose, "account", name),
            pair=_key(purpose, "account from network", name, network or ""),
            address=None if network is None else _key(purpose, "network", network),
        )

    def limits(self) -> Mapping[str, Limit]:
        """The limit of each row."""
        declared = settings.PANGAEA
        found = {
            self.pair: Limit(declared.log_in_failures, declared.log_in_pause),
            self.account: Limit(declared.log_in_failures_of_account, declared.log_in_pause),
        }
        if self.address is not None:
            found[self.address] = Limit(declared.log_in_failures_of_network, declared.log_in_pause_of_network)
        return found


@dataclass(frozen=True, slots=True)
class _Counted:
    """The state of the rows after an attempt was counted."""

    pauses: Mapping[str, Pause]
    """The pause of each row, by its key."""
    failures_from_here: int
    """The account's failures from this network, including this attempt."""


def _key(*parts: str) -> str:
    text = "\0".join(parts).encode(errors="backslashreplace")
    return salted_hmac("pangaea.identity.password_attempts", text, algorithm="sha256").hexdigest()


def _count(keys: _Keys) -> _Counted:
    """Count an attempt as failed. Raises Throttled, and writes nothing, if it has to wait."""
    limits = keys.limits()
    rows = FailureCount.objects.using(DEFAULT_DB_ALIAS)
    # An attacker's refused attempts cost one query, and lock nothing.
    _refuse(keys, {row.key: row for row in rows.filter(key__in=limits)}, now=timezone.now())
    with transaction.atomic(using=DEFAULT_DB_ALIAS, durable=True):
        found = _locked(limits)
        now = timezone.now()
        _refuse(keys, found, now=now)
        pauses = {key: row.count(limits[key], now=now) for key, row in found.items()}
        rows.bulk_update(found.values(), ["retry_at", "forgotten_at", "expires_at"])
        _delete_expired(now)
    return _Counted(
        pauses=pauses,
        failures_from_here=found[keys.pair].failures(limits[keys.pair], now=now),
    )


def _refuse(keys: _Keys, found: Mapping[str, FailureCount], *, now: datetime) -> None:
    from_here = found.get(keys.pair)
    is_known = from_here is not None and from_here.is_known(now=now)
    waits = [row.retry_at - now for key, row in found.items() if not (is_known and key == keys.account)]
    if (wait := max(waits, default=timedelta(0))) > timedelta(0):
        raise errors.Throttled("throttled", "Too many attempts to log in. Wait, then try again.", retry_after=wait)


def _locked(limits: Mapping[str, Limit]) -> dict[str, FailureCount]:
    """The rows by key, created where they are missing, and locked in key order, so that attempts cannot deadlock."""
    now = timezone.now()
    rows = FailureCount.objects.using(DEFAULT_DB_ALIAS)
    blank = [FailureCount(key=key, retry_at=now, forgotten_at=now, expires_at=now) for key in sorted(limits)]
    # The update changes nothing: it locks a row that exists, also one that is about to be deleted.
    rows.bulk_create(blank, update_conflicts=True, unique_fields=["key"], update_fields=["key"])
    return {row.key: row for row in rows.filter(key__in=limits)}


def _delete_expired(now: datetime) -> None:
    rows = FailureCount.objects.using(DEFAULT_DB_ALIAS)
    expired = rows.filter(expires_at__lt=now).order_by("expires_at").select_for_update(skip_locked=True)
    if ids := list(expired.values_list("id", flat=True)[:DELETED_AT_ONCE]):
        rows.filter(id__in=ids).delete()


def _take_back(keys: _Keys, counted: _Counted) -> None:
    """Undo the count of an attempt that was not tried."""
    limits = keys.limits()
    with transaction.atomic(using=DEFAULT_DB_ALIAS, durable=True):
        found = _existing(limits)
        for key, row in found.items():
            row.take_back(1, limits[key], pause=counted.pauses[key])
        _save(found)


def _forgive(keys: _Keys, counted: _Counted) -> None:
    """Forget the account's failures from this network: the password was right, so they were its owner's.

    The account's failures from other networks still count. Of the network's failures only this attempt is forgotten:
    other accounts share the network, and an attacker could clear the count by logging in to an account of their own.
    """
    limits = keys.limits()
    with transaction.atomic(using=DEFAULT_DB_ALIAS, durable=True):
        now = timezone.now()
        found = _existing(limits)
        for key, row in found.items():
            if key == keys.pair:
                row.clear(now=now, known_until=None if keys.network is None else now + KNOWN_FOR)
            else:
                failures = counted.failures_from_here if key == keys.account else 1
                row.take_back(failures, limits[key], pause=counted.pauses[key])
        _save(found)


def _existing(limits: Mapping[str, Limit]) -> dict[str, FailureCount]:
    rows = FailureCount.objects.using(DEFAULT_DB_ALIAS).select_for_update().order_by("key")
    return {row.key: row for row in rows.filter(key__in=limits)}


def _save(rows: Mapping[str, FailureCount]) -> None:
    fields = ["retry_at", "forgotten_at", "known_until", "expires_at"]
    FailureCount.objects.using(DEFAULT_DB_ALIAS).bulk_update(rows.values(), fields)


def _note(event: str, keys: _Keys, outcome: str, **facts: object) -> None:
    """Count and log the outcome. Only a part of the account's hash is logged: people type passwords as their name."""
    with _counting:
        counts[keys.purpose, outcome] += 1
    log.warning(event, purpose=keys.purpose, account=keys.account[:16], address=keys.network, **facts)
