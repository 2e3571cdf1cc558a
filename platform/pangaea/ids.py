"""Identifiers that sort by their time of creation (RFC 9562, UUIDv7), so that indexes grow at one end."""

from uuid import UUID

from uuid_utils.compat import uuid7 as _uuid7


def uuid7() -> UUID:
    """Create a time-ordered identifier, as the standard library's UUID."""
    return _uuid7()
