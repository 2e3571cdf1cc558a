"""What this module receives from `users`, in its own words: an account is a customer, with a name and no address."""

from typing import ClassVar
from uuid import UUID

import msgspec

from pangaea.messages import Event


class UserRegistered(Event, frozen=True, kw_only=True):
    wire_name: ClassVar[str] = "users.user_registered"
    version: ClassVar[int] = 1

    customer_id: UUID = msgspec.field(name="user_id")
    name: str = msgspec.field(name="full_name")


class ProfileChanged(Event, frozen=True, kw_only=True):
    wire_name: ClassVar[str] = "users.profile_changed"
    version: ClassVar[int] = 1

    customer_id: UUID = msgspec.field(name="user_id")
    name: str = msgspec.field(name="full_name")


class UserDeactivated(Event, frozen=True, kw_only=True):
    wire_name: ClassVar[str] = "users.user_deactivated"
    version: ClassVar[int] = 1

    customer_id: UUID = msgspec.field(name="user_id")
