"""`manage.py streams resume` and `streams forget`: show the consequences, ask for confirmation, execute."""

import getpass
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import structlog
from django.core.management.base import CommandError, OutputWrapper
from kombu.exceptions import OperationalError

from pangaea import modules
from pangaea.errors import DomainError
from pangaea.health import missing_processes
from pangaea.inbox import resuming
from pangaea.management.replaying import ask_producers
from pangaea.messages import module_of
from pangaea.wire import CatchUp

log = structlog.get_logger()
Send = Callable[[Sequence[CatchUp]], None]


def resume(out: OutputWrapper, options: dict[str, Any], *, send: Send = ask_producers) -> None:
    """Show what resuming would do, ask, and resume. Raises CommandError, and changes nothing, if it is refused."""
    try:
        subscription = resuming.named(options["subscription"])
        shown = resuming.plan(subscription, options["how"])
        for step in shown.steps:
            out.write(
                f"{step.stream}: {step.state} at {step.from_position:,}, goes on at {step.to_position:,}; "
                f"{step.parked:,} parked"
            )
        _confirm(out, str(shown), options, needs_yes=options["how"] == "start")
        resuming.resume(subscription, options["how"], reason=options["reason"], by=getpass.getuser())
    except resuming.Refused as error:
        raise CommandError(str(error)) from error
    except DomainError as error:
        raise CommandError(error.message) from error
    try:
        send(resuming.requests(subscription))
    except OperationalError as error:
        # The next announcement reveals the gap, and the subscriber asks again.
        log.warning("catch-up request failed", error=str(error))
    missing = missing_processes.for_replay(subscription.module, subscription.sources)
    out.write(f"{subscription.name} is resumed. {missing}")


def forget(out: OutputWrapper, options: dict[str, Any]) -> None:
    """Ask, then delete an undeclared subscription's cursors and discard its parked messages.

    Raises CommandError if it is refused.
    """
    name = options["subscription"]
    module = module_of(name)
    if module not in modules.labels():
        raise CommandError(f"{module} is no module of this process. Installed: {', '.join(modules.labels())}.")
    try:
        if name not in resuming.undeclared(module):
            found = ", ".join(resuming.undeclared(module)) or "none"
            raise CommandError(f"{name!r} is no undeclared subscription with cursors. There are: {found}.")
        _confirm(out, f"The cursors of {name} are deleted, and its parked messages are discarded.", options)
        discarded = resuming.forget(module, name, reason=options["reason"], by=getpass.getuser())
    except resuming.Refused as error:
        raise CommandError(str(error)) from error
    except DomainError as error:
        raise CommandError(error.message) from error
    out.write(f"{name} is forgotten; {discarded:,} parked messages were discarded.")


def _confirm(out: OutputWrapper, what: str, options: dict[str, Any], *, needs_yes: bool = False) -> None:
    out.write(what)
    if options["yes"]:
        return
    if needs_yes:
        raise CommandError("A reaction repeats its effects: give --yes if you want that. Nothing was done.")
    stdin: TextIO = options.get("stdin") or sys.stdin
    if stdin.isatty():
        out.write("Do it? [y/N] ", ending="")
        out.flush()
        if stdin.readline().strip().lower() in {"y", "yes"}:
            return
    raise CommandError("Nothing was done. Without a terminal: --yes.")
