"""Django's `createsuperuser`, with a warning that knows every database."""

from django.contrib.auth.management.commands import createsuperuser

from pangaea.management.unapplied import WarnsOfEveryAlias


class Command(WarnsOfEveryAlias, createsuperuser.Command):
    """As Django's own."""
