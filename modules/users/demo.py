"""Two customers to try things with."""

from django.db import transaction

from modules.users import commands
from modules.users.apps import UsersConfig
from modules.users.models import Account
from modules.users.rules import passwords

NAMES = {"ada@example.com": "Ada Lovelace", "grace@example.com": "Grace Hopper"}


def seed(*, credentials: bool) -> list[str]:
    """Register the demo customers that are missing, and return how to log in.

    Their password is public, so without `credentials` none is registered.
    """
    if not credentials:
        return []
    accounts = UsersConfig.demo_log_ins
    present = set(Account.objects.filter(email__in=accounts).values_list("email", flat=True))
    for email, password in accounts.items():
        if email not in present:
            password_hash = passwords.hashed(password)
            with transaction.atomic(using="users"):
                commands.register_account(email=email, password_hash=password_hash, full_name=NAMES[email])
    return [f"customer  {email}  password  {password}" for email, password in accounts.items()]
