"""A dataclass of settings read from an environment: every value with its source, and every mistake at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from pangaea import modules
from pangaea.configuration.environment import Environment, Unreadable

DEFAULT, PROFILE = "default", "profile"
"""Sources that are no variable: the declaration itself, and what the profile sets."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an environment says: `values` and `sources` by field. What is malformed has a source and no value."""

    environment: Environment
    labels: Sequence[str]
    """The modules of the process."""
    values: Mapping[str, Any]
    sources: Mapping[str, str]
    problems: Sequence[str]


def examine(
    kind: Any, environ: Mapping[str, str], *, required: Iterable[str] = (), defaults: Mapping[str, Any] | None = None
) -> Reading:
    """Read every field of `kind`, whose metadata are those that `declared.setting` gives. Raises nothing."""
    defaults = defaults or {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    problems: list[str] = []

    def read(each: "Field[Any]", environment: Environment) -> None:
        name = variable(each)
        try:
            found = environment.find(name, general=each.metadata["general"])
            if found is None:
                values[each.name] = defaults.get(each.name, each.default)
                sources[each.name] = PROFILE if each.name in defaults else DEFAULT
            else:
                sources[each.name] = found.source
                values[each.name] = _convert(each, found.text)
        except Unreadable as error:
            sources.setdefault(each.name, name)
            problems.append(str(error))
        except ValueError as error:
            problems.append(f"{sources[each.name].partition('=')[0]} {error}")
        else:
            if each.name in required and not values[each.name]:
                problems.append(f"{name} is not set. {each.metadata['why']}")

    first = [each for each in fields(kind) if each.metadata["general"]]
    for each in first:
        read(each, Environment(environ))
    labels, unknown = _modules(values)
    problems += unknown
    environment = Environment(environ, module=labels[0] if len(labels) == 1 else "")
    for each in fields(kind):
        if each not in first:
            read(each, environment)
    return Reading(environment, labels, values, sources, problems)


class Refused(ImproperlyConfigured):
    """The environment will not do. The message names everything; where it was raised says nothing."""


def refuse(problems: Sequence[str]) -> None:
    """Raise Refused with all of them, if there are any."""
    if problems:
        raise Refused("The configuration is incomplete or unsafe:\n  - " + "\n  - ".join(problems))


def variable(each: "Field[Any]") -> str:
    """The environment variable of a field."""
    return each.metadata["env"] or each.name.upper()


def _modules(values: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The labels of the modules that the process runs, and what is wrong with those that are asked for."""
    chosen, package = values.get("modules", ()), values.get("modules_package", "")
    try:
        present = modules.discover(package)
    except (ImportError, ValueError):
        present = []
    if not present:
        return [], [f"PANGAEA_MODULES_PACKAGE is {package!r}, in which there are no modules: name a Python package."]
    if unknown := sorted(set(chosen) - set(present)):
        names = f"PANGAEA_MODULES names {', '.join(unknown)}"
        return list(chosen), [f"{names}; in {package} there are: {', '.join(present)}."]
    return list(chosen) or present, []


def _convert(each: "Field[Any]", text: str) -> Any:
    """The text as the type of the field's default. Raises ValueError with what follows the variable's name."""
    form = each.metadata["form"] or (lambda _: "")
    value: Any
    match each.default:
        case bool():
            wrong = "" if text.strip().lower() in _BOOLEANS else f"is {text!r}; set true or false."
            value = _BOOLEANS.get(text.strip().lower())
        case int():
            value = int(text) if text.strip().isdecimal() else None
            # Where nothing is the default, nothing may be said aloud.
            well = value is not None and (value > 0 or value == each.default)
            wrong = "" if well else f"is {text!r}; set a whole number above 0, like {each.default or 8001}."
            wrong = wrong or form(text)
        case timedelta():
            value = _length(text)
            wrong = "" if value else f"is {text!r}; set seconds above 0, like {each.default.total_seconds():g}."
        case tuple():
            value = tuple(part.strip() for part in text.split(",") if part.strip())
            wrong = next((found for part in value if (found := form(part))), "")
        case str():
            value = text
            # Empty means without; whether that will do is for `required` to say, or for a word that must be there.
            wrong = form(text) if text.strip() or each.default else ""
        case _:
            raise TypeError(f"{each.name} has a default of a type that cannot be read from the environment.")
    if wrong:
        raise ValueError(wrong)
    return value


_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _length(text: str) -> timedelta | None:
    """So many seconds; None for what is not a length of time above nothing."""
    try:
        length = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        return None
    return length if length > timedelta(0) else None
