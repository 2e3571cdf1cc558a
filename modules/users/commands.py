"""What this module does on request.

The edge opens the transaction (`transaction.atomic(using="users")`) and the command joins it. Passwords come as hashes,
made before the transaction: see `rules.passwords`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from modules.users.messages import ProfileChanged, UserDeactivated, UserRegistered
from modules.users.models import Account, RefreshGrant
from modules.users.queries import Proof
from modules.users.rules import emails
from modules.users.rules.passwords import PasswordHash
from modules.users.rules.refresh_tokens import RefreshToken
from pangaea import errors, outbox
from pangaea.modules import Plan

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LogIn:
    """A log-in of this account with its present plan, and the refresh token that prolongs it."""

    account_id: UUID
    plan: str
    refresh_token: str = field(repr=False)


def register_account(*, email: str, password_hash: PasswordHash, full_name: str) -> Account:
    """Open an account. Raises Conflict (`email_taken`) where the address has one, deactivated or not."""
    with _taken_email_is_a_conflict(email, others=Account.objects.all()):
        account = Account.register(email=email, password_hash=password_hash, full_name=full_name, at=timezone.now())
        outbox.publish(
            UserRegistered(
                user_id=account.id,
                email=account.email,
                full_name=account.full_name,
                registered_at=account.registered_at,
            ),
            key=str(account.id),
        )
    log.info("account registered", account_id=str(account.id))
    return account


def change_profile(
    *,
    account_id: UUID,
    email: str | None = None,
    full_name: str | None = None,
    proof: Proof | None = None,
    precondition: Callable[[int], None] | None = None,
) -> Account:
    """Change the fields that are given. Where none differs, nothing is written or published.

    `precondition` is called with the version of the locked account, and raises to refuse.

    Raises Conflict (`email_taken`, or `password_changed` since the proof), Forbidden (`account_deactivated`) or
    Unauthenticated (`unknown_account`).
    """
    with _taken_email_is_a_conflict(email, others=Account.objects.exclude(id=account_id)):
        account = Account.active(account_id, lock=True)
        if precondition:
            precondition(account.version)
        _refute_outdated(proof, account)
        if account.change_profile(email=email, full_name=full_name, at=timezone.now()):
            outbox.publish(
                ProfileChanged(
                    user_id=account.id,
                    email=account.email,
                    full_name=account.full_name,
                    changed_at=account.changed_at,
                ),
                key=str(account.id),
            )
    return account


def change_password(*, proof: Proof, password_hash: PasswordHash) -> None:
    """Replace the password that `proof` is about, and revoke every log-in.

    Raises Conflict (`password_changed`) where another request replaced it first.
    """
    account = Account.active(proof.account_id, lock=True)
    _refute_outdated(proof, account)
    account.set_password(password_hash=password_hash, at=timezone.now())
    RefreshGrant.revoke_all(account=account)
    log.info("password changed", account_id=str(account.id))


def deactivate_account(*, account_id: UUID, proof: Proof | None) -> bool:
    """Close the account and revoke its log-ins. Returns False, and publishes nothing, if it is closed already.

    `proof` is None if an operator decides. Raises Conflict (`password_changed`) if the password was replaced after the
    proof.
    """
    account = Account.known(account_id, lock=True)
    if not account.is_active:
        return False
    _refute_outdated(proof, account)
    now = timezone.now()
    account.deactivate(at=now)
    RefreshGrant.revoke_all(account=account)
    outbox.publish(UserDeactivated(user_id=account.id, deactivated_at=now), key=str(account.id))
    log.info("account deactivated", account_id=str(account.id))
    return True


def change_plan(*, account_id: UUID, plan: Plan) -> bool:
    """Give the account another plan. Returns False if it has that plan already.

    Raises Forbidden (`account_deactivated`) or Unauthenticated (`unknown_account`).
    """
    changed = Account.active(account_id, lock=True).change_plan(plan)
    if changed:
        log.info("plan changed", account_id=str(account_id), plan=plan.value)
    return changed


def log_in(*, proof: Proof) -> LogIn:
    """Begin a log-in for the caller who proved to know the password.

    The account is locked and read again: during the slow proof it may have been deactivated, or its password changed,
    and the grant would escape that revocation. In this case it raises Unauthenticated (`invalid_credentials`).
    """
    account = Account.known(proof.account_id, lock=True)
    if not account.is_active or account.password_set_at != proof.password_set_at:
        raise proof.refusal()
    if proof.renewed_hash is not None:
        account.renew_hash(password_hash=proof.renewed_hash)
    token = RefreshGrant.open(account=account, at=timezone.now())
    return LogIn(account_id=account.id, plan=account.plan, refresh_token=token.text)


def refresh(*, refresh_token: str) -> LogIn | None:
    """Prolong a log-in: spend the token and return its successor.

    A token that was spent within REFRESH_GRACE gets the same successor again. Returns None if the token is unknown,
    expired or spent. A spent token that is sent after the grace was copied, and a copy looks like its original, so the
    whole log-in is revoked (RFC 9700, 4.14.2). Because of that this function returns None instead of raising: the
    caller has to commit the revocation before it refuses.
    """
    token = RefreshToken.parse(refresh_token)
    if token is None:
        return None
    now = timezone.now()
    successor = RefreshGrant.rotate(token, at=now) or RefreshGrant.successor_of(token, at=now)
    if successor is None:
        if RefreshGrant.revoke(token.grant_id):
            log.warning("log-in revoked", reason="its refresh token was spent or expired", grant_id=str(token.grant_id))
        return None
    account_id, plan = RefreshGrant.objects.values_list("account_id", "account__plan").get(id=token.grant_id)
    return LogIn(account_id=account_id, plan=plan, refresh_token=successor.text)


def _refute_outdated(proof: Proof | None, account: Account) -> None:
    """Raise Conflict (`password_changed`) if the password was replaced after the proof.

    Operators need no proof: for them `proof` is None.
    """
    if proof is not None and account.password_set_at != proof.password_set_at:
        raise errors.Conflict("password_changed", "The password was changed meanwhile. Log in with the other one.")


@contextmanager
def _taken_email_is_a_conflict(email: str | None, *, others: QuerySet[Account]) -> Iterator[None]:
    """Run the block in a savepoint. Raises Conflict (`email_taken`) if the database has the address already.

    Only the constraint is certain: two concurrent requests may both look the address up and find it free. The error has
    to leave the savepoint before the next query: PostgreSQL refuses every statement until the rollback.
    """
    try:
        with transaction.atomic(using="users"):
            yield
    except IntegrityError as error:
        if email is None or not others.filter(email=emails.normalised(email)).exists():
            raise
        raise errors.Conflict("email_taken", "There is an account of this email address.") from error
