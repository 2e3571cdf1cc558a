"""Who operates Pangaea."""

from django.contrib.auth.models import AbstractUser


class Operator(AbstractUser):
    """A member of staff who signs in to the admin.

    `AUTH_USER_MODEL`, in the alias `default`. Customers are not operators: they are accounts of the users module, in
    its own schema, and no password or session is shared between the two.
    """

    class Meta(AbstractUser.Meta):
        verbose_name = "operator"
        verbose_name_plural = "operators"
