#!/usr/bin/env python
"""Django's commands on this project: the `local` profile unless DJANGO_SETTINGS_MODULE is set."""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent

if (ROOT / "platform" / "__init__.py").exists():
    sys.exit(
        "platform/__init__.py hides the standard library's `platform` module. Remove it: platform/ is a source root."
    )
if not (3, 11) <= sys.version_info < (3, 15):
    sys.exit(f"Pangaea needs Python 3.11 to 3.14; this is Python {sys.version.split()[0]} ({sys.executable}).")
if importlib.util.find_spec("pangaea") is None:
    sys.path.insert(1, str(ROOT / "platform"))


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pangaea.settings.local")
    try:
        from django.core.management import execute_from_command_line

        from pangaea.configuration.reading import Refused
        from pangaea.errors import Misconfigured
    except ImportError as error:
        message = "Django is not installed for this Python. `make run` sets everything up in .venv; or activate yours."
        raise SystemExit(message) from error
    if sys.argv[1:2] == ["config"]:
        # Django finds a project's commands only once its settings are loaded; `config` must run when they are refused.
        from pangaea.management.commands.config import Command

        Command().run_from_argv(sys.argv)
        return
    try:
        execute_from_command_line(sys.argv)
    except (Misconfigured, Refused) as error:
        # The message names the remedy; a traceback would bury it.
        sys.exit(str(error))
    except Exception as error:
        from pangaea.management import not_now

        line = None if "--traceback" in sys.argv else not_now.explain(error)
        if line is None:
            raise
        sys.stderr.write(f"{line}\n")
        sys.exit(not_now.EXIT_CODE)


if __name__ == "__main__":
    main()
