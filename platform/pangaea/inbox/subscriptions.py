"""Named sets of handlers. A Projection keeps a read model and can be replayed; a Reaction acts, so it never is."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

from pangaea import messages
from pangaea.messages import Command, Message, Received

SHADOW = "~shadow"
M = TypeVar("M", bound=Message)
One = Callable[[Received[M]], None]
Many = Callable[[Sequence[Received[M]]], None]


@dataclass(frozen=True, slots=True)
class Handler:
    """The function for messages of one wire name and version. `many`: the function takes a run of messages at once."""

    message_type: type[Message]
    call: Callable[[Any], None]
    many: bool


class Subscription:
    """A set of handlers with a cursor on every stream that it reads. The name is `<module>.<what it is>`.

    Handlers run in a transaction on the module's database, in which the cursor moves too: what they write in it takes
    effect once per message. Messages of one key arrive in order; between keys and between modules there is no order.
    """

    replayable: bool
    begins: Literal["start", "now"] = "start"

    is_shadow = False
    """Whether this is the shadow of a projection."""
    takes_commands = False
    """Whether it handles commands sent to its module."""

    def __init__(self, name: str) -> None:
        messages.check_wire_name(name)
        self.name = name
        self.module = messages.module_of(name)
        self.handlers: dict[tuple[str, int], Handler] = {}
        self.sources: set[str] = set()
        """The modules whose events it handles."""

    def on(self, message_type: type[M]) -> Callable[[One[M]], One[M]]:
        """Decorate `handle(message)`. A second handler for the same wire name and version raises ValueError."""

        def register(handle: One[M]) -> One[M]:
            self._add(message_type, handle, many=False)
            return handle

        return register

    def on_batch(self, *message_types: type[M]) -> Callable[[Many[M]], Many[M]]:
        """Decorate `handle_batch(messages)`, for set-wise work. It receives a run of messages of these types, in order.

        A run holds consecutive messages of one batch, uninterrupted by a message for another handler. It may hold a
        single message: if a run fails, its messages are passed again in ever smaller runs.
        """

        def register(handle: Many[M]) -> Many[M]:
            for message_type in message_types:
                self._add(message_type, handle, many=True)
            return handle

        return register

    def _add(self, message_type: type[Message], call: Callable[[Any], None], *, many: bool) -> None:
        name, version = message_type.wire_name, message_type.version
        messages.check_wire_name(name)
        if (name, version) in self.handlers:
            text = f"{self.name} already handles version {version} of {name}; one handler per message and version."
            raise ValueError(text)
        self.handlers[name, version] = Handler(message_type, call, many)
        if issubclass(message_type, Command):
            self.takes_commands = True
        else:
            self.sources.add(messages.module_of(name))

    def versions(self, wire_name: str) -> set[int]:
        """The versions of a message that it handles."""
        return {version for name, version in self.handlers if name == wire_name}

    def reads(self, source: str, audience: str) -> bool:
        """Whether this stream holds messages for the subscription."""
        if audience == messages.ALL:
            return source in self.sources
        return audience == self.module and self.takes_commands

    @property
    def is_rebuilt(self) -> bool:
        """Whether a rebuild repairs it, because it keeps tables whose rows come from messages alone."""
        return False

    @property
    def remedy(self) -> str:
        """What an operator does once the subscription has stopped."""
        if self.is_rebuilt:
            return f"rebuild it with `manage.py rebuild {self.name}`"
        resume = f"manage.py streams resume {self.name} --reason=WHY"
        return f"decide with `{resume} --from=head` (skip) or `{resume} --from=start --yes` (repeat), or in the admin"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class Projection(Subscription):
    """A read model whose rows come from messages alone. Publishing in it raises. May be rebuilt from 0.

    `models` names the models of its module that it keeps. It reads and writes their tables and no others, and nothing
    else writes these tables. In a rebuild they are empty at first, and its handlers find no other tables.
    """

    replayable = True

    def __init__(self, name: str, *, models: Sequence[str] = ()) -> None:
        super().__init__(name)
        self.models = tuple(models)

    @cached_property
    def shadow(self) -> "Projection":
        """The same handlers, under the name by which the shadow of this projection is addressed on the bus."""
        shadow = copy(self)
        shadow.name, shadow.is_shadow = f"{self.name}{SHADOW}", True
        return shadow

    @property
    def is_rebuilt(self) -> bool:
        return bool(self.models)


class Reaction(Subscription):
    """Acts on what it receives: publishes, calls commands. Never replayed.

    `begins` decides on which messages a new or renamed reaction acts: "start" means all that its streams hold, as a
    receiver of commands needs; "now" means those published after its first start. It applies to each stream on which
    the subscription has no cursor. Any other value raises ValueError.
    """

    replayable = False

    def __init__(self, name: str, *, begins: Literal["start", "now"]) -> None:
        super().__init__(name)
        if begins not in {"start", "now"}:
            text = f'{name} begins at {begins!r}: write begins="start" or begins="now".'
            raise ValueError(text)
        self.begins = begins
