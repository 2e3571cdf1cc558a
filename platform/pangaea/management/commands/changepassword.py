"""Django's `changepassword`, with a warning about unapplied migrations of every alias."""

from django.contrib.auth.management.commands import changepassword

from pangaea.management.unapplied import AboutOperators


class Command(AboutOperators, changepassword.Command):
    """Django's command with that warning."""
