"""A shadow: a second, empty set of a projection's tables beside the live ones, in which it is rebuilt.

It holds the inbox's tables and the projection's own, and no others. In a thread that has entered it, the connection of
the module's alias points at the shadow: handlers and the consumer's code run unchanged, and cannot touch the live
tables.

PostgreSQL: the schema `<module>_shadow`, which `migrate` provides. SQLite: a file beside the module's.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from time import monotonic

import structlog
from django.apps import apps
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.db.utils import load_backend

from pangaea.databases import aliases, engines, outages
from pangaea.inbox.models import Cursor
from pangaea.inbox.stream_key import StreamKey
from pangaea.inbox.subscriptions import Projection
from pangaea.wire import Batch

log = structlog.get_logger()

LOOK_AGAIN = 1.0
"""Seconds for which a worker trusts its last look for a shadow. A batch that a new shadow misses meanwhile is a gap."""


class _Connections(threading.local):
    """This thread's connections to shadows, each with the shadow's token, and the live connections they replace."""

    def __init__(self) -> None:
        self.inside: dict[str, tuple[str, BaseDatabaseWrapper]] = {}
        self.live: dict[str, BaseDatabaseWrapper] = {}


_opened = _Connections()
_known: dict[str, tuple[float, "Shadow | None"]] = {}


@dataclass(frozen=True, slots=True)
class Shadow:
    """The shadow of one projection. `name` is its name on the bus. A module has at most one shadow at a time."""

    module: str
    name: str
    token: str

    @contextmanager
    def entered(self) -> Iterator[BaseDatabaseWrapper]:
        """Point the module's alias at the shadow, in this thread."""
        _opened.live[self.module] = connections[self.module]
        try:
            with _leading(self.module, self._connection()) as connection:
                yield connection
        finally:
            del _opened.live[self.module]

    @contextmanager
    def beside(self) -> Iterator[str]:
        """Point the alias at the live tables, also inside `entered`. Yields the prefix of the shadow's tables.

        It must not be entered in a transaction of the live connection.
        """
        live = _opened.live.get(self.module, connections[self.module])
        with _leading(self.module, live), engines.of(self.module).attached_shadow(live, self.token) as prefix:
            yield prefix

    def _connection(self) -> BaseDatabaseWrapper:
        token, connection = _opened.inside.get(self.module, (None, None))
        if connection is None or token != self.token:
            release(self.module)
            live = _opened.live[self.module]
            settings = engines.of(self.module).shadow_settings(live, self.token)
            connection = load_backend(settings["ENGINE"]).DatabaseWrapper(settings, self.module)
            _opened.inside[self.module] = self.token, connection
        return connection


@contextmanager
def _leading(module: str, connection: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    before = connections[module]
    connections[module] = connection
    try:
        yield connection
    finally:
        connections[module] = before


def of(projection: Projection, *, look_again: bool) -> Shadow | None:
    """The projection's shadow, if it has one. Without `look_again`, the answer may be LOOK_AGAIN seconds old."""
    module = projection.module
    looked_at, shadow = _known.get(module, (float("-inf"), None))
    if look_again or monotonic() - looked_at > LOOK_AGAIN:
        shadow = _look(module)
        _known[module] = monotonic(), shadow
        if shadow is None:
            release(module)
    return shadow if shadow and shadow.name == projection.shadow.name else None


def addressed(projection: Projection, batch: Batch) -> Shadow | None:
    """The projection's shadow, if it has one and the batch is addressed to all subscriptions or to the shadow."""
    if batch.to not in {None, projection.shadow.name}:
        return None
    return of(projection, look_again=batch.to is not None)


def exists(shadow: Shadow) -> bool:
    """Whether this shadow still exists. Raises DatabaseError if the database does not answer."""
    connection = connections[shadow.module]
    return engines.of(shadow.module).find_shadow(connection, Cursor._meta.db_table) == (shadow.name, shadow.token)


def forget(module: str) -> None:
    """Forget which shadow the module has: the next call reads it again."""
    _known.pop(module, None)


def release(module: str) -> None:
    """Close this thread's connection to the module's shadow."""
    _, connection = _opened.inside.pop(module, (None, None))
    if connection is not None:
        connection.close()


def _look(module: str) -> Shadow | None:
    try:
        found = engines.of(module).find_shadow(connections[module], Cursor._meta.db_table)
    except DatabaseError as error:
        if not outages.note(error, module):
            log.warning("shadow lookup failed", module=module, error=str(error))
        return None
    return Shadow(module, *found) if found else None


def alone(module: str) -> AbstractContextManager[bool]:
    """Hold the module's rebuild lock; False if another process holds it. The lock ends with the process."""
    return engines.of(module).alone(module, "rebuild")


def create(projection: Projection, models: Sequence[type[Model]], cursors: Sequence[Cursor]) -> Shadow:
    """Create a shadow with these cursors and no rows. Remains of an earlier shadow are removed first.

    Workers find the shadow within a second, but not before it has all its tables and cursors: a worker that found no
    cursor would create one. Raises Misconfigured if the database cannot store a shadow.
    """
    module = projection.module
    clear(module)
    store, name = engines.of(module), projection.shadow.name
    shadow = Shadow(module, name, store.create_shadow(connections[module], name))
    inbox = [each for each in apps.get_app_config(aliases.KERNEL).get_models() if issubclass(each, StreamKey)]
    # In one transaction: a worker that knows the former shadow may be connected to the same schema.
    with shadow.entered() as connection, connection.schema_editor() as editor:
        for model in (*inbox, *models):
            editor.create_model(model)
        Cursor.objects.using(module).bulk_create(cursors)
    release(module)
    store.show_shadow(connections[module], shadow.token)
    forget(module)
    return _look(module) or shadow


def clear(module: str) -> None:
    """Remove the module's shadow, if there is one. The live tables are not touched."""
    forget(module)
    release(module)
    engines.of(module).remove_shadows(connections[module])
