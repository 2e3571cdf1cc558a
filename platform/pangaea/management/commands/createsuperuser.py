"""Django's `createsuperuser`, with a warning about unapplied migrations of every alias."""

from django.contrib.auth.management.commands import createsuperuser

from pangaea.management.unapplied import AboutOperators


class Command(AboutOperators, createsuperuser.Command):
    """Django's command with that warning."""
