"""The aggregates: an account, and a log-in that can be prolonged."""

import secrets
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID, uuid4

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Least, Lower

from modules.users.rules import emails
from modules.users.rules.refresh_tokens import RefreshToken
from pangaea import errors, text
from pangaea.databases.versions import VersionField
from pangaea.ids import uuid7, uuid7_from
from pangaea.modules import Plan

FULL_NAME_LENGTH = 150
SALT_BYTES = 32


class Account(models.Model):
    """A customer. Staff are `ops.Operator`, elsewhere; an account is never Django's `request.user`."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        DEACTIVATED = "deactivated"

    PLANS = [(plan.value, plan.value) for plan in Plan]

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.CharField(max_length=emails.MAX_LENGTH)
    password_hash = models.CharField(max_length=255)
    password_set_at = models.DateTimeField()
    full_name = models.CharField(max_length=FULL_NAME_LENGTH)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    plan = models.CharField(max_length=16, choices=PLANS, default=Plan.FREE.value, db_default=Plan.FREE.value)
    registered_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    deactivated_at = models.DateTimeField(null=True)
    version = VersionField()

    class Meta:
        constraints = [
            # Together these two make the address unique whatever its letter case, and a plain equality finds it by
            # the index on either engine.
            models.UniqueConstraint(fields=["email"], name="users_account_email_unique"),
            models.CheckConstraint(condition=Q(email=Lower("email")), name="users_account_email_lower_case"),
            models.CheckConstraint(condition=~Q(email="") & ~Q(full_name=""), name="users_account_not_blank"),
            models.CheckConstraint(
                condition=Q(status="active", deactivated_at__isnull=True)
                | Q(status="deactivated", deactivated_at__isnull=False),
                name="users_account_status_known",
            ),
        ]

    def __str__(self) -> str:
        return self.email

    # Factories

    @classmethod
    def register(cls, *, email: str, password_hash: str, full_name: str, at: datetime) -> Self:
        """Store a new active account.

        Raises ValidationError for an address or a name that is none, and IntegrityError if the address is taken: the
        caller needs a savepoint.
        """
        return cls.objects.create(
            email=emails.normalised(email),
            password_hash=password_hash,
            password_set_at=at,
            full_name=text.name(full_name),
            registered_at=at,
            changed_at=at,
        )

    # Mutators. Those that read before they write expect the row to be locked.

    def change_profile(self, *, email: str | None, full_name: str | None, at: datetime) -> bool:
        """Set the fields that are given; False where none differs. Raises as `register` does."""
        before = (self.email, self.full_name)
        self.email = self.email if email is None else emails.normalised(email)
        self.full_name = self.full_name if full_name is None else text.name(full_name)
        if (self.email, self.full_name) == before:
            return False
        self.changed_at = at
        self.save(update_fields=["email", "full_name", "changed_at"])
        self.version += 1
        return True

    def set_password(self, *, password_hash: str, at: datetime) -> None:
        self.password_hash = password_hash
        self.password_set_at = at
        self.save(update_fields=["password_hash", "password_set_at"])
        self.version += 1

    def renew_hash(self, *, password_hash: str) -> None:
        """Store the hash of the same password by another hasher. Log-ins and proofs stay valid."""
        self.password_hash = password_hash
        self.save(update_fields=["password_hash"])
        self.version += 1

    def deactivate(self, *, at: datetime) -> None:
        self.status = self.Status.DEACTIVATED
        self.deactivated_at = at
        self.save(update_fields=["status", "deactivated_at"])
        self.version += 1

    def change_plan(self, plan: Plan) -> bool:
        """Set the plan; False if it is set already. Access tokens have it from the next one on."""
        if self.plan == plan:
            return False
        self.plan = plan.value
        self.save(update_fields=["plan"])
        self.version += 1
        return True

    # Queries

    @classmethod
    def known(cls, account_id: UUID, *, lock: bool = False) -> Self:
        """The account of a token's subject. Raises Unauthenticated (`unknown_account`) where there is none.

        `lock` keeps other writers of the row waiting until the transaction ends.
        """
        accounts = cls.objects.select_for_update(no_key=True) if lock else cls.objects.all()
        account = accounts.filter(id=account_id).first()
        if account is None:
            raise errors.Unauthenticated("unknown_account", "There is no account for this token.")
        return account

    @classmethod
    def registered_since(cls, moment: datetime) -> models.QuerySet[Self]:
        """The accounts registered at this moment or later, found by their ids, created within the same request."""
        earlier = moment - timedelta(minutes=1)
        return cls.objects.filter(pk__gte=uuid7_from(earlier), registered_at__gte=moment)

    @classmethod
    def active(cls, account_id: UUID, *, lock: bool = False) -> Self:
        """The account, as `known` returns it. Also raises Forbidden (`account_deactivated`) if it is closed."""
        account = cls.known(account_id, lock=lock)
        if not account.is_active:
            raise errors.Forbidden("account_deactivated", "This account is deactivated.")
        return account

    # Properties

    @property
    def is_active(self) -> bool:
        return self.status == self.Status.ACTIVE


class RefreshGrant(models.Model):
    """One log-in with its valid refresh token. Deleting the row revokes it.

    `previous_digest` and `salt` are from the last rotation: with them, a token that was spent a moment ago gets the
    same successor again. Neither is of use to a reader of the table, who has no token.

    The id is random, not time-ordered, so that only a holder of one of the grant's tokens knows it. Hence a token with
    this id and an outdated secret was used before.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="refresh_grants")
    digest = models.CharField(max_length=64)
    opened_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    previous_digest = models.CharField(max_length=64, default="", db_default="")
    salt = models.BinaryField(default=b"", db_default=b"")
    rotated_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"log-in of {self.opened_at:%Y-%m-%d}"

    # Factories

    @classmethod
    def open(cls, *, account: Account, at: datetime) -> RefreshToken:
        """The first token of a new grant. Removes the account's expired grants, so that no job has to."""
        cls.objects.filter(account=account, expires_at__lte=at).delete()
        token = RefreshToken.generate(grant_id=uuid4())
        cls.objects.create(
            id=token.grant_id,
            account=account,
            digest=token.digest,
            opened_at=at,
            expires_at=at + min(settings.PANGAEA.refresh_token_lifetime, settings.PANGAEA.login_lifetime),
        )
        return token

    # Mutators

    @classmethod
    def rotate(cls, token: RefreshToken, *, at: datetime) -> RefreshToken | None:
        """The successor of this token, valid for a full lifetime; None where this token is spent or has expired.

        No successor outlives LOGIN_LIFETIME, counted from the log-in. Compares and sets in one statement, so of
        two requests with the same token one gets None.
        """
        salt = secrets.token_bytes(SALT_BYTES)
        successor = token.successor(salt)
        oldest = at - settings.PANGAEA.login_lifetime
        current = cls.objects.filter(id=token.grant_id, digest=token.digest, expires_at__gt=at, opened_at__gt=oldest)
        rotated = current.update(
            digest=successor.digest,
            previous_digest=token.digest,
            salt=salt,
            rotated_at=at,
            expires_at=Least(
                at + settings.PANGAEA.refresh_token_lifetime, F("opened_at") + settings.PANGAEA.login_lifetime
            ),
        )
        return successor if rotated else None

    @classmethod
    def successor_of(cls, token: RefreshToken, *, at: datetime) -> RefreshToken | None:
        """The successor of a token that was spent at most REFRESH_GRACE ago; None once the successor is spent too."""
        since = at - settings.PANGAEA.refresh_grace
        grant = cls.objects.filter(
            id=token.grant_id, previous_digest=token.digest, rotated_at__gt=since, expires_at__gt=at
        ).first()
        successor = token.successor(bytes(grant.salt)) if grant else None
        return successor if grant and successor and successor.digest == grant.digest else None

    @classmethod
    def revoke(cls, grant_id: UUID) -> bool:
        """Delete the grant. False where there is none."""
        return bool(cls.objects.filter(id=grant_id).delete()[0])

    @classmethod
    def revoke_all(cls, *, account: Account) -> None:
        cls.objects.filter(account=account).delete()
