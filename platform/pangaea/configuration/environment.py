"""Where a setting's text comes from: the module's own variable, then the general one; each may be given as a file.

`ORDERS_RELAY_BATCH` goes before `RELAY_BATCH` where orders is the only module of the process, and `RELAY_BATCH_FILE`
names a file that holds the value. What is set to nothing is set.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from environ import FileAwareMapping


@dataclass(frozen=True, slots=True)
class Found:
    """The text of a setting, and the variable that gave it."""

    text: str
    source: str


class Unreadable(ValueError):
    """The variable is there, but what it says cannot be had. The message names it and says what to do."""


class Environment:
    """The environment of one process; `module` is its module's label where it has only one."""

    def __init__(self, environ: Mapping[str, str], *, module: str = "") -> None:
        self._environ = dict(environ)
        self._files = FileAwareMapping(env=self._environ)
        self.module = module

    def find(self, name: str, *, general: bool = False) -> Found | None:
        """What sets `name`, or None; with `general` no module's own variable does. Raises Unreadable."""
        for candidate in [name] if general or not self.module else [variable_of(self.module, name), name]:
            if found := self._read(candidate):
                return found
        return None

    def text(self, name: str) -> str:
        """What `name` itself is set to; empty without it. Raises Unreadable."""
        found = self._read(name)
        return found.text if found else ""

    def _read(self, name: str) -> Found | None:
        file = f"{name}_FILE"
        named = self._environ.get(file)
        if named and name in self._environ:
            raise Unreadable(f"{name} and {file} are both set: keep one of them.")
        if named:
            try:
                return Found(str(self._files[name]).rstrip("\r\n"), f"{file}={named}")
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "not UTF-8"
                raise Unreadable(
                    f"{file} names {named}, which cannot be read ({why}): mount the file there."
                ) from error
        return Found(self._environ[name].rstrip("\r\n"), name) if name in self._environ else None


def variable_of(module: str, name: str) -> str:
    """The variable that sets `name` for this module alone."""
    return f"{module.upper()}_{name}"
