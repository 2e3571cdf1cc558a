"""`manage.py web`: the web process as it is deployed."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from pangaea import errors
from pangaea.api import shaping
from pangaea.gateway import Address
from pangaea.processes.web import server


class Command(BaseCommand):
    """Runs until SIGTERM, then finishes the requests in flight."""

    help = "Serve the installed modules with gunicorn, over mutual TLS where TLS_CERTIFICATE is set, until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        """The address, and the numbers of processes and threads."""
        parser.add_argument("--bind", metavar="HOST:PORT", default="127.0.0.1:8000", help="default: 127.0.0.1:8000")
        parser.add_argument("--workers", metavar="N", type=int, default=1, help="processes (default: 1)")
        threads = shaping.THREADS
        parser.add_argument("--threads", metavar="N", type=int, default=threads, help="in each (default: %(default)s)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Serve."""
        if settings.PANGAEA_IN_PROCESS:
            raise CommandError(
                "The local profile has web, relay and worker in one process: `manage.py runserver`. "
                "For a deployment set DJANGO_SETTINGS_MODULE to pangaea.settings.monolith or pangaea.settings.service."
            )
        if small := [name for name in ("workers", "threads") if options[name] < 1]:
            raise CommandError(f"--{small[0]} is {options[small[0]]}; it must be 1 or more.")
        try:
            Address.parse(options["bind"], what="--bind")
            configuration = server.options(
                settings.PANGAEA, bind=options["bind"], workers=options["workers"], threads=options["threads"]
            )
        except errors.Misconfigured as error:
            raise CommandError(str(error)) from error
        server.WebServer(configuration).run()
