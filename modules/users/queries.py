"""The read side: profiles, and proofs of a password."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from modules.users.models import Account
from modules.users.rules import emails, passwords
from modules.users.rules.passwords import PasswordHash
from pangaea import errors


@dataclass(frozen=True, slots=True)
class Profile:
    """The data of an account that its owner sees."""

    id: UUID
    email: str
    full_name: str
    plan: str
    registered_at: datetime
    version: int

    @classmethod
    def of(cls, account: Account) -> Self:
        return cls(
            id=account.id,
            email=account.email,
            full_name=account.full_name,
            plan=account.plan,
            registered_at=account.registered_at,
            version=account.version,
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof that the caller knew the password that was set at `password_set_at`. A replaced password voids it."""

    account_id: UUID
    password_set_at: datetime
    renewed_hash: PasswordHash | None = field(repr=False)

    @staticmethod
    def refusal() -> errors.Unauthenticated:
        """One answer to every failed log-in: it must not distinguish a wrong password from an unknown address."""
        return errors.Unauthenticated("invalid_credentials", "The email address or the password is wrong.")


def registrations_since(moment: datetime) -> int:
    """How many accounts were registered since this moment. One query."""
    return Account.registered_since(moment).count()


def profile_of(*, account_id: UUID) -> Profile:
    """The profile of an active account.

    Raises Forbidden (`account_deactivated`) or Unauthenticated (`unknown_account`).
    """
    return Profile.of(Account.active(account_id))


def check_new_password(password: str, *, email: str, full_name: str) -> None:
    """Raise Django's ValidationError, one code per reason, for a password that is too easy to guess."""
    passwords.check(password, owner=Account(email=email, full_name=full_name))


def is_active(*, account_id: UUID) -> bool:
    """Whether the account is not closed. Raises Unauthenticated (`unknown_account`) where there is none."""
    return Account.known(account_id).is_active


def prove_by_email(*, email: str, password: str) -> Proof:
    """Check the credentials of a log-in. Raises Unauthenticated (`invalid_credentials`) for every reason to refuse."""
    return _prove(Account.objects.filter(email=emails.normalised(email)).first(), password)


def prove_by_id(*, account_id: UUID, password: str) -> Proof:
    """Check the password of a logged-in customer. Raises Unauthenticated (`invalid_credentials`) where it is wrong."""
    return _prove(Account.active(account_id), password)


def _prove(account: Account | None, password: str) -> Proof:
    verdict = passwords.verify(password, account.password_hash if account else None)
    if account is None or not account.is_active or not verdict.right:
        raise Proof.refusal()
    return Proof(account_id=account.id, password_set_at=account.password_set_at, renewed_hash=verdict.renewed)
