"""Django's `changepassword`, with a warning that knows every database."""

from django.contrib.auth.management.commands import changepassword

from pangaea.management.unapplied import WarnsOfEveryAlias


class Command(WarnsOfEveryAlias, changepassword.Command):
    """As Django's own."""
