"""`manage.py certs`: a development authority and short-lived certificates with SPIFFE ids."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from pangaea import errors, modules
from pangaea.credentials import certificates


class Command(BaseCommand):
    """A later run renews certificates that are missing or wrong, and all that are past half of their lifetime.

    With `--rotate` it renews all certificates, but the authority's only past half of its lifetime.
    """

    help = "Create or renew the development certificates of the installed modules, the gateway and the edge."

    def add_arguments(self, parser: CommandParser) -> None:
        """The folder, the lifetime, and whether to renew all."""
        parser.add_argument("--directory", metavar="DIR", type=Path, required=True, help="the folder for the files")
        parser.add_argument("--days", metavar="N", type=float, default=1.0, help="how long they last (default: 1)")
        parser.add_argument("--rotate", action="store_true", help="renew them all, except for the authority")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Issue, and print which files were written."""
        lifetime = timedelta(days=options["days"])
        if not timedelta(0) < lifetime <= certificates.AUTHORITY_LIFETIME:
            days = certificates.AUTHORITY_LIFETIME.days
            raise CommandError(f"--days is {options['days']:g}; an authority lasts {days} days, so at most that.")
        domain = settings.PANGAEA.trust_domain
        try:
            written = certificates.issue(
                options["directory"],
                certificates.subjects(modules.labels(), trust_domain=domain),
                trust_domain=domain,
                lifetime=lifetime,
                rotate=options["rotate"],
            )
        except (errors.Misconfigured, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['directory']}: {', '.join(written) or 'nothing to renew'}")
