"""The source of a setting's text: the module's own variable, then the shared one, each as a value or as a file.

`ORDERS_RELAY_BATCH` comes before `RELAY_BATCH` where orders is the only module of the process, and `RELAY_BATCH_FILE`
names a file that holds the value. A variable that is set to an empty text counts as set.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from environ import FileAwareMapping

from pangaea.configuration import characters
from pangaea.errors import Misconfigured

DEFAULT, PROFILE = "default", "profile"
"""The sources besides variables: the declaration and the profile."""


@dataclass(frozen=True, slots=True)
class Found:
    """The text of a setting, and its source: a variable, or `RELAY_BATCH_FILE=/path`."""

    text: str
    source: str


class Unreadable(Misconfigured):
    """The value of a variable cannot be read. The message names the variable and the remedy."""


class Environment:
    """The environment of one process. Files are read by django-environ.

    Its `FileAwareEnv` is not used. It takes a value that begins with `$` for the name of another variable, and would
    quote a secret like `$ecret` in its error and in its debug log. Where a variable is set both as a value and as a
    file, it would use the file without a warning.
    """

    def __init__(self, environ: Mapping[str, str], profile: Mapping[str, str] | None = None) -> None:
        """`profile` has texts by variable, used where the environment sets nothing."""
        self._environ = environ
        self._profile = profile or {}
        self._files = FileAwareMapping(env=dict(environ))

    def find(self, name: str, *, module: str = "", lines: bool = False) -> Found | None:
        """The text and source of `name`: the module's own variable comes first. None if unset. Raises Unreadable.

        `lines`: the text may have several lines.
        """
        variables = [variable_of(module, name), name] if module else [name]
        found = next(filter(None, (self._read(each, lines=lines) for each in variables)), None)
        return Found(self._profile[name], PROFILE) if not found and name in self._profile else found

    def text(self, name: str) -> str:
        """The text of `name`; empty if it is unset. Raises Unreadable."""
        found = self.find(name)
        return found.text if found else ""

    def _read(self, name: str, *, lines: bool) -> Found | None:
        variable, path = f"{name}_FILE", self._environ.get(f"{name}_FILE")
        if path and name in self._environ:
            raise Unreadable(f"{name} and {variable} are both set: keep one of them.")
        try:
            text = str(self._files[name]).rstrip("\r\n")
        except KeyError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise Unreadable(
                f"{variable} names {path}, which cannot be read ({reason}): mount the file there."
            ) from error
        if problem := characters.problem(text, lines=lines):
            raise Unreadable(f"{variable if path else name} {problem}")
        return Found(text, f"{variable}={path}" if path else name)


def variable_of(module: str, name: str) -> str:
    """The variable that sets `name` for this module alone."""
    return f"{module.upper()}_{name}"
