"""The staff accounts."""

from collections.abc import Iterator

from django.contrib.auth.models import AbstractUser
from django.utils.crypto import salted_hmac

SESSION_SALT = "pangaea.ops.operator.session"


class Operator(AbstractUser):
    """A member of staff who logs in to the admin.

    `AUTH_USER_MODEL`, in the alias `default`. Customers are not operators: they are accounts of the users module, in
    its own schema, and no password or session is shared between the two.
    """

    class Meta(AbstractUser.Meta):
        verbose_name = "operator"
        verbose_name_plural = "operators"

    def get_session_auth_hash(self) -> str:
        """The hash of the password in a session: a changed password ends the session, a changed SECRET_KEY does not.

        With Django's own hash, which depends on the key, the first request after a rotation of the key replaces the
        session, and concurrent requests are logged out. This hash needs no key, because the session that contains it is
        signed with SECRET_KEY.
        """
        return salted_hmac(SESSION_SALT, self.password, secret=SESSION_SALT, algorithm="sha256").hexdigest()

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """Django's own hashes, which sessions of earlier versions have."""
        yield super().get_session_auth_hash()
        yield from super().get_session_auth_fallback_hash()
