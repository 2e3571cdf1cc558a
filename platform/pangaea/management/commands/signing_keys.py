"""`manage.py signing_keys`: the file of the keys that sign access tokens, and their rotation."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from pangaea import errors
from pangaea.identity.key_rotation import KeyFile


class Command(BaseCommand):
    """Creates a missing file, rotates or withdraws its keys, and prints their ids, never a key."""

    help = "Create the file with the keys that sign access tokens, or rotate its keys."

    def add_arguments(self, parser: CommandParser) -> None:
        """The file, and the action."""
        parser.add_argument("--file", metavar="FILE", type=Path, help="default: SIGNING_KEY_FILE")
        action = parser.add_mutually_exclusive_group()
        action.add_argument(
            "--rotate",
            action="store_true",
            help="let the next key sign; tokens signed by the former one stay valid",
        )
        action.add_argument(
            "--withdraw",
            action="store_true",
            help="a key has leaked: let the next key sign, and accept no token signed by another key",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the action, and print the ids of the file's keys."""
        declared = settings.PANGAEA
        path = options["file"] or Path(declared.signing_key_file)
        if path == Path():
            raise CommandError("No file is named: give --file, or set SIGNING_KEY_FILE.")
        file = KeyFile(path)
        try:
            if options["rotate"]:
                file.rotate(token_lifetime=declared.access_token_lifetime)
            elif options["withdraw"]:
                file.withdraw()
            else:
                file.make()
            signing, *others = file.list()
        except (errors.Misconfigured, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"signs   {signing.kid}")
        for key in others:
            self.stdout.write(f"{'next  ' if key.is_private else 'former'}  {key.kid}")
