"""Who operates Pangaea."""

from collections.abc import Iterator

from django.contrib.auth.models import AbstractUser
from django.utils.crypto import salted_hmac

SESSION_SALT = "pangaea.ops.operator.session"


class Operator(AbstractUser):
    """A member of staff who signs in to the admin.

    `AUTH_USER_MODEL`, in the alias `default`. Customers are not operators: they are accounts of the users module, in
    its own schema, and no password or session is shared between the two.
    """

    class Meta(AbstractUser.Meta):
        verbose_name = "operator"
        verbose_name_plural = "operators"

    def get_session_auth_hash(self) -> str:
        """What a log-in keeps of the password, so that it ends when that changes; the same under every SECRET_KEY.

        With Django's own, which depends on the key, the first request after a rotation replaces the session, and the
        requests beside it are logged out. The session, this included, is signed with SECRET_KEY.
        """
        return salted_hmac(SESSION_SALT, self.password, secret=SESSION_SALT, algorithm="sha256").hexdigest()

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """Django's own, which log-ins of earlier versions have."""
        yield super().get_session_auth_hash()
        yield from super().get_session_auth_fallback_hash()
