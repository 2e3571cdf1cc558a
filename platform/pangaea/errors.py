"""The errors that the kernel and the modules raise.

PangaeaError
├── Misconfigured         a setting or a declaration is missing, unsafe or contradicts another
├── Misuse                a kernel function was called where it must not be: a bug in the caller
├── MalformedMessage      bytes from outside that are not a message this process can read
├── PoisonMessage         a message crashed the process that handled it, every time
│   └── HungMessage       a message's handler did not return, so the process was ended
├── RefusedByBroker       the broker answered and refused a message; it may accept others
├── RefusedMessage        a message from the broker that this process does not accept
├── Unavailable           a dependency of this process does not answer; the same call may succeed later
└── DomainError           a business rule refused the request; carries a stable code
    ├── Unauthenticated   the request has no valid credentials
    ├── Forbidden         this caller may not do this
    ├── NotFound          no such object, as far as this caller may know
    ├── Conflict          well-formed, but the present state does not allow it
    ├── Invalid           well-formed, but no state would allow it
    └── Throttled         too many attempts; the caller has to wait

No class here knows HTTP: `pangaea.api.problems` maps the classes to status codes in one table.
"""

import re
from datetime import timedelta

_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

RESERVED_DETAILS = frozenset(
    {"type", "title", "status", "detail", "instance", "code", "errors", "correlation_id"},
)
"""Names that a rendered error uses for its own members (those of RFC 9457 and of this project)."""


def first_line(error: BaseException) -> str:
    """The first line of the error's text, for a message or a log; the name of its class if it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


class PangaeaError(Exception):
    """The base of all errors that this project raises on purpose."""


class Misconfigured(PangaeaError):
    """A setting or a module's declaration cannot work. The message names it and the remedy."""


class Misuse(PangaeaError):
    """A kernel function was called where it cannot keep its promise, for instance outside a transaction."""


class MalformedMessage(PangaeaError):
    """Bytes from outside are no message of a name and version that this process knows. A retry would fail too."""


class PoisonMessage(PangaeaError):
    """The process ended while a handler worked on this message alone: out of memory, a crash in native code.

    The message is retried like any parked message, since another cause may have ended the process. After
    CRASHES_AT_MOST more crashes it is dead.
    """


class HungMessage(PoisonMessage):
    """The handler of this message did not return within JOB_TIME_LIMIT: find out what it waits for."""


class RefusedByBroker(PangaeaError):
    """The broker answered and refused a message: it is too large, or this login may not send it."""


class RefusedMessage(PangaeaError):
    """A received message is of a kind that no module sends, or its sender may not send for the module that it names."""


class Unavailable(PangaeaError):
    """A dependency (database, broker, key source) did not answer in time. Nothing was changed; try again later."""


class DomainError(PangaeaError):
    """A business rule refused the request. Raise one of the subclasses.

    `code` is snake_case and stable, because clients branch on it. `message` is a sentence for people. `details` are
    JSON-serialisable facts that a client may need (`sku="ABC-1", available=3`). None of the three may hold a secret.
    `retry_after` is the time after which the same request may succeed, where that is known.
    """

    retry_after: timedelta | None = None

    def __init__(self, code: str, message: str, /, **details: object) -> None:
        if not _CODE.fullmatch(code):
            raise ValueError(f"An error's code is snake_case, like 'out_of_stock'; got {code!r}.")
        if clash := RESERVED_DETAILS & details.keys():
            raise ValueError(f"The details of {code!r} use reserved names: {', '.join(sorted(clash))}. Rename them.")
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Unauthenticated(DomainError):
    """The request has no credentials, or none that are valid."""


class Forbidden(DomainError):
    """The caller is known, but may not do this."""


class NotFound(DomainError):
    """The object does not exist, or this caller may not know of it. Both cases must look the same to the caller."""


class Conflict(DomainError):
    """The present state does not allow the request: out of stock, already cancelled. A later state may."""


class Invalid(DomainError):
    """A well-formed request that no state would allow: an unknown product, a lifetime of minus one day."""


class Throttled(DomainError):
    """The caller has tried too often, and may try again after `retry_after`."""

    retry_after: timedelta

    def __init__(self, code: str, message: str, /, *, retry_after: timedelta, **details: object) -> None:
        super().__init__(code, message, **details)
        self.retry_after = retry_after
