"""The events of users: what others may rely on. Their key is the account's id."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from pangaea.messages import Event


class UserRegistered(Event, frozen=True, kw_only=True):
    """An account was opened. The email address is not verified."""

    wire_name: ClassVar[str] = "users.user_registered"
    version: ClassVar[int] = 1

    user_id: UUID
    email: str
    full_name: str
    registered_at: datetime


class ProfileChanged(Event, frozen=True, kw_only=True):
    """The email address or the name was changed. Carries the whole profile after the change."""

    wire_name: ClassVar[str] = "users.profile_changed"
    version: ClassVar[int] = 1

    user_id: UUID
    email: str
    full_name: str
    changed_at: datetime


class UserDeactivated(Event, frozen=True, kw_only=True):
    """The account is closed for good: it can no longer log in or prolong a log-in."""

    wire_name: ClassVar[str] = "users.user_deactivated"
    version: ClassVar[int] = 1

    user_id: UUID
    deactivated_at: datetime
