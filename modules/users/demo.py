"""Two customers to try things with."""

from django.db import transaction

from modules.users import commands
from modules.users.models import Account
from modules.users.rules import passwords

PASSWORD = "continental-drift"  # noqa: S105 - public on purpose, and printed
CUSTOMERS = (("ada@example.com", "Ada Lovelace"), ("grace@example.com", "Grace Hopper"))


def seed(*, credentials: bool) -> list[str]:
    """Register the demo customers that are missing, and return how to log in.

    Their password is public, so without `credentials` none is registered.
    """
    if not credentials:
        return []
    present = set(Account.objects.filter(email__in=[email for email, _ in CUSTOMERS]).values_list("email", flat=True))
    for email, full_name in CUSTOMERS:
        if email not in present:
            password_hash = passwords.hashed(PASSWORD)
            with transaction.atomic(using="users"):
                commands.register_account(email=email, password_hash=password_hash, full_name=full_name)
    return [f"customer  {email}  password  {PASSWORD}" for email, _ in CUSTOMERS]
