"""Named sets of handlers. A Projection keeps a read model and can be replayed; a Reaction acts, and never is."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pangaea import messages
from pangaea.messages import Command, Message, Received

SHADOW = "~shadow"
M = TypeVar("M", bound=Message)
One = Callable[[Received[M]], None]
Many = Callable[[Sequence[Received[M]]], None]


@dataclass(frozen=True, slots=True)
class Handler:
    """What happens with a message of one wire name and version. `many`: it takes a run of messages at once."""

    message_type: type[Message]
    call: Callable[[Any], None]
    many: bool


class Subscription:
    """A set of handlers with a cursor on every stream it reads. The name is `<module>.<what it is>`.

    Handlers run inside a transaction on the module's database, in which the cursor moves too: what they write there
    happens once a message. Messages of one key arrive in order; between keys and between modules there is no order.
    """

    replayable: bool
    begins: Literal["start", "now"] = "start"

    def __init__(self, name: str) -> None:
        messages.check_wire_name(name)
        self.name = name
        self.module = messages.module_of(name)
        self.handlers: dict[tuple[str, int], Handler] = {}

    def on(self, message_type: type[M]) -> Callable[[One[M]], One[M]]:
        """Decorate `handle(message)`. One handler for a wire name and version; a second one raises ValueError."""

        def register(handle: One[M]) -> One[M]:
            self._add(message_type, handle, many=False)
            return handle

        return register

    def on_batch(self, *message_types: type[M]) -> Callable[[Many[M]], Many[M]]:
        """Decorate `handle_batch(messages)`, for set-wise work: it gets a run of messages of these types, in order.

        A run holds what came in one batch and is handled here, uninterrupted by a message that another handler takes.
        It may hold one message only: where a run fails, its messages come again in ever smaller runs.
        """

        def register(handle: Many[M]) -> Many[M]:
            for message_type in message_types:
                self._add(message_type, handle, many=True)
            return handle

        return register

    def _add(self, message_type: type[Message], call: Callable[[Any], None], *, many: bool) -> None:
        place = (message_type.wire_name, message_type.version)
        messages.check_wire_name(message_type.wire_name)
        if place in self.handlers:
            text = f"{self.name} already handles version {place[1]} of {place[0]}; one handler a message and version."
            raise ValueError(text)
        self.handlers[place] = Handler(message_type, call, many)

    def versions(self, wire_name: str) -> set[int]:
        """The versions of a message that it handles."""
        return {version for name, version in self.handlers if name == wire_name}

    @property
    def sources(self) -> set[str]:
        """The modules whose events it wants."""
        return {
            messages.module_of(name)
            for (name, _), handler in self.handlers.items()
            if not issubclass(handler.message_type, Command)
        }

    @property
    def is_shadow(self) -> bool:
        """Whether it stands for the shadow of a projection."""
        return self.name.endswith(SHADOW)

    @property
    def takes_commands(self) -> bool:
        """Whether it handles commands sent to its module."""
        return any(issubclass(handler.message_type, Command) for handler in self.handlers.values())

    @property
    def one_by_one(self) -> bool:
        """Whether each message needs a transaction of its own.

        A command locks what it works on in the order that its module has agreed on. Two in one transaction would hold
        the first one's locks while they wait for the second's, in no order, and deadlock with requests over HTTP.
        """
        return self.takes_commands

    def reads(self, source: str, audience: str) -> bool:
        """Whether that stream holds messages for it."""
        if audience == messages.EVERYBODY:
            return source in self.sources
        return audience == self.module and self.takes_commands

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class Projection(Subscription):
    """A read model, made from messages alone. Publishing in it raises. May be rebuilt from 0.

    `models` names the models of its module that it keeps: it writes and reads their tables and no others, and nothing
    else writes them. While it is rebuilt its handlers find these tables empty at first, and no others at all.
    """

    replayable = True

    def __init__(self, name: str, *, models: Sequence[str] = ()) -> None:
        super().__init__(name)
        self.models = tuple(models)

    @property
    def shadow(self) -> "Projection":
        """The same handlers, under the name by which the shadow of this projection is addressed on the bus."""
        twin = copy(self)
        twin.name = f"{self.name}{SHADOW}"
        return twin


class Reaction(Subscription):
    """Acts on what it receives: publishes, calls commands. Never replayed.

    `begins` says what a new one, or a renamed one, acts on: "start" is all messages that its streams hold, as a
    receiver of commands needs; "now" is what is published from its first start on. It holds for each stream that the
    subscription has no cursor on. Raises ValueError for anything else.
    """

    replayable = False

    def __init__(self, name: str, *, begins: Literal["start", "now"]) -> None:
        super().__init__(name)
        if begins not in {"start", "now"}:
            text = f'{name} begins at {begins!r}: say begins="start" or begins="now".'
            raise ValueError(text)
        self.begins = begins
