"""Django's `runserver`; in the local profile a relay and a worker run in the same process."""

from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.management.commands import runserver
from django.core.management.base import CommandError

from pangaea import modules
from pangaea.api.call_counting import counter
from pangaea.change_capture import triggers
from pangaea.databases import aliases, migration_state
from pangaea.inbox import resuming
from pangaea.management.unapplied import WarnsOfEveryAlias
from pangaea.management.welcome import welcome_to_local
from pangaea.processes import relay, worker
from pangaea.processes.web.local_server import LocalServer


class Command(WarnsOfEveryAlias, runserver.Command):
    """Runs web, relay and worker together, with auto-reload."""

    addr: str
    server_cls = LocalServer

    def check_migrations(self) -> None:
        """Warn of unapplied migrations; refuse to start where captured tables lack their triggers."""
        super().check_migrations()
        migrated = (alias for alias in aliases.installed() if not migration_state.unapplied(alias))
        if found := [fault for alias in migrated for fault in triggers.faults(alias)]:
            raise CommandError(" ".join([*found, triggers.REMEDY]))

    def on_bind(self, server_port: int) -> None:
        """Print the addresses of all pages, once the port is bound."""
        super().on_bind(server_port)
        if settings.PANGAEA_IN_PROCESS:
            self.stdout.write(welcome_to_local(f"http://{self.addr}:{server_port}"))
            self.stdout.flush()

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """The application without Django's static files handler, which would answer before every middleware."""
        return super().get_handler(*args, **{**options, "use_static_handler": False})

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Serve; in the local profile with relays and a worker in the same process."""
        with ExitStack() as stack:
            if settings.PANGAEA_IN_PROCESS:
                resuming.name_undeclared(modules.labels())
                stack.enter_context(worker.InProcessWorker())
                stack.enter_context(relay.Relays(modules.labels()))
            counter.start()
            stack.callback(counter.stop)
            super().inner_run(*args, **options)
