"""Log lines of structlog and of the standard library, rendered alike."""

import logging
import logging.config
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from pangaea import text


def bind(**fields: object) -> AbstractContextManager[None]:
    """Add these fields to every line that is logged inside: `with logs.bind(module="orders", position=7):`."""
    return structlog.contextvars.bound_contextvars(**fields)


class OnlyWithTraceback(logging.Filter):
    """Passes records that carry an exception."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None


class Quoted:
    """The value of a field, printed as a Python literal without control characters."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return text.escaped(repr(self._value))


def escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what a terminal would obey: paths, names and errors contain what strangers wrote."""
    for name, value in event.items():
        if name in {"exception", "stack"}:
            event[name] = text.escaped(str(value), lines=True)
        elif name == "event":
            event[name] = text.escaped(str(value))
        elif not (isinstance(value, str) and value.isprintable()):
            event[name] = Quoted(value)
    return event


_ON_EVERY_LINE: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


def formatter(*, json: bool) -> logging.Formatter:
    """A formatter that renders the lines of structlog and of the standard library alike."""
    rendering: list[Processor] = (
        [structlog.processors.JSONRenderer(default=str)]
        if json
        else [
            escape,
            # The default formatter may print local variables, and passwords among them.
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_ON_EVERY_LINE,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            *rendering,
        ],
    )


def configure(config: Mapping[str, Any]) -> None:
    """Set up logging for this process, from `settings.LOGGING`. Django calls it (LOGGING_CONFIG)."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_ON_EVERY_LINE,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(dict(config))
