"""The interface of a database engine to the kernel.

`connection` is the calling thread's Django connection of a module's alias.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper


class NewMessage(NamedTuple):
    """A row of the outbox as it is written."""

    message_id: UUID
    audience: str
    key: str
    name: str
    body: str
    created_at: datetime


Unsequenced = tuple[int, str, int]
"""The id of an outbox row that has no position yet, and the audience and partition of its stream."""

Sent = tuple[int, int, UUID]
"""The id of a stream's row, and the position and id of the last message sent."""


class Holder(NamedTuple):
    """The session that holds a lock. `is_stranger`: its login is no member of the role that owns the module schema."""

    login: str
    pid: int
    is_stranger: bool


@dataclass(frozen=True, slots=True)
class OldTransaction:
    """A transaction that has been open for long: its session and its age.

    If this login may not see the age, `age` is None and `behind` is the number of transactions since its snapshot.
    """

    holder: str
    age: timedelta | None
    behind: int | None = None


class LateSequence(NamedTuple):
    """A sequence that would next give an id that is not above the highest in its table."""

    sequence: str
    table: str
    next_id: int
    highest: int


class LeaderElection(ABC):
    """Decides which of a module's relays leads. The others stand by."""

    @abstractmethod
    def lead(self) -> bool:
        """Become the leader if there is none. Returns whether this relay leads its module."""

    @abstractmethod
    def leader(self) -> Holder | None:
        """The session that holds the leader's lock, if there is one."""


class RelayWakeup(ABC):
    """Wakes a module's leading relay after a commit that published messages or recorded a request."""

    @abstractmethod
    def listen(self) -> None:
        """Subscribe: from now on each wake-up ends a `wait`. Cheap to repeat."""

    @abstractmethod
    def wait(self, seconds: float) -> bool:
        """Wait for a wake-up, at most this long. False without one. Raises if the database has ended the session."""


@dataclass(frozen=True, slots=True)
class RelaySession:
    """A relay's session at its module's database: one connection, one thread. `close` ends session and leadership."""

    election: LeaderElection
    wakeup: RelayWakeup
    close: Callable[[], None]


class ShadowStore(ABC):
    """Stores a module's shadow: the tables that a rebuild fills beside the live ones.

    `connection` is the one to the live tables. A `token` identifies one shadow: each shadow has another.
    """

    @abstractmethod
    def create_shadow(self, connection: BaseDatabaseWrapper, name: str) -> str:
        """Create an empty shadow for the subscription `name`, not yet visible to workers, and return its token.

        Raises Misconfigured if the database is not prepared for a shadow.
        """

    @abstractmethod
    def shadow_settings(self, connection: BaseDatabaseWrapper, token: str) -> dict[str, Any]:
        """Django's settings of a connection that sees only the shadow."""

    @abstractmethod
    def show_shadow(self, connection: BaseDatabaseWrapper, token: str) -> None:
        """Make a shadow visible to workers, once its tables are committed. No connection to it may be open."""

    @abstractmethod
    def find_shadow(self, connection: BaseDatabaseWrapper, cursors: str) -> tuple[str, str] | None:
        """The subscription's name, as in the shadow's table `cursors`, and the token; None if there is no shadow.

        Raises DatabaseError while the shadow is being removed.
        """

    @abstractmethod
    def remove_shadows(self, connection: BaseDatabaseWrapper) -> None:
        """Remove every shadow of the module, including those of killed processes."""

    @abstractmethod
    def attached_shadow(self, connection: BaseDatabaseWrapper, token: str) -> AbstractContextManager[str]:
        """Let the connection read the shadow's tables, whose prefix it yields. Must not be in a transaction."""


class Engine(ShadowStore):
    """One database engine."""

    body_sql = "body"
    """The SQL expression that reads the body of an outbox row, whatever its bytes are."""

    # Statements

    @abstractmethod
    def rows(self, connection: BaseDatabaseWrapper, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Execute a statement of every pass or batch, prepared once, and return its rows as the driver gives them."""

    @abstractmethod
    def any_of(self, texts: Iterable[str]) -> tuple[str, Any]:
        """The SQL condition after a column's name that matches any of these texts, and its parameter."""

    @abstractmethod
    def limit_lock_waits(self, connection: BaseDatabaseWrapper, limit: timedelta) -> None:
        """Set the lock time-out of this transaction: a statement that waits longer for a lock raises DatabaseError."""

    @abstractmethod
    def exclusive_transaction(
        self, connection: BaseDatabaseWrapper, name: str, sql: str, *values: Any
    ) -> AbstractContextManager[list[tuple[Any, ...]] | None]:
        """Open a transaction that holds the module's lock `name`, and yield the rows of a statement executed in it.

        The statement sees all that the lock's earlier holders have committed. While another transaction holds the lock,
        which is not waited for, the rows are those that exist already, or None if there are none.
        """

    @abstractmethod
    def is_read_only(self, connection: BaseDatabaseWrapper) -> bool:
        """Whether the database accepts no writes. Raises DatabaseError if it does not answer."""

    # Versions of rows

    @abstractmethod
    def version_triggers(self, connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
        """The tables that have a trigger of their version, and its column."""

    @abstractmethod
    def create_version_trigger(self, connection: BaseDatabaseWrapper, table: str, column: str) -> None:
        """Let every update of a row of this table raise its version, unless the update itself sets a higher one."""

    @abstractmethod
    def drop_version_trigger(self, connection: BaseDatabaseWrapper, table: str) -> None:
        """Remove the table's trigger of its version."""

    # Publishing

    @abstractmethod
    def lock_keys(self, connection: BaseDatabaseWrapper, keys: Sequence[str]) -> None:
        """Lock these keys of the module until the transaction ends: other transactions that publish for them wait."""

    @abstractmethod
    def append(self, connection: BaseDatabaseWrapper, row: NewMessage) -> None:
        """Lock the message's key, as `lock_keys` does, and write it to the outbox."""

    @abstractmethod
    def wake_after_commit(self, connection: BaseDatabaseWrapper) -> None:
        """Wake the module's relay after this transaction's commit; outside a transaction at once. Cheap to repeat."""

    @abstractmethod
    def wake(self, alias: str) -> None:
        """Wake the module's relay, in whichever process it runs."""

    # Relaying

    @abstractmethod
    def relay_session(self, alias: str) -> RelaySession:
        """A session for one relay of this module."""

    @abstractmethod
    def sequence(self, connection: BaseDatabaseWrapper, rows: Sequence[Unsequenced]) -> None:
        """Give the rows that still have no position the next positions of their streams, in the order of their ids.

        This is one transaction. It locks the stream rows, so that no other transaction assigns positions until it ends.
        """

    @abstractmethod
    def settle(self, connection: BaseDatabaseWrapper, sent: Sequence[Sent]) -> None:
        """Record the positions that the broker has accepted, where they are higher than the recorded ones."""

    # Operating

    @abstractmethod
    def late_sequences(self, connection: BaseDatabaseWrapper) -> list[LateSequence]:
        """The sequences of the alias that are behind their tables. An insert fails if it draws an id in use."""

    @abstractmethod
    def advance_sequences(self, connection: BaseDatabaseWrapper) -> None:
        """Let each late sequence continue after its table's highest id."""

    @abstractmethod
    def alone(self, alias: str, work: str) -> AbstractContextManager[bool]:
        """Hold the lock of this work until exit or the end of the process. Yields False while another holder has it."""

    @abstractmethod
    def transactions_older_than(self, alias: str, limit: timedelta) -> list[OldTransaction]:
        """The open transactions of the whole database that are older than `limit`, the oldest first."""
