"""A dataclass of settings read from an environment: every value with its source, and all mistakes at once."""

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from pangaea import modules
from pangaea.configuration.environment import Environment, Unreadable, variable_of
from pangaea.configuration.values import parse, redacted, text_of

DEFAULT, PROFILE = "default", "profile"
"""Sources that are no variable: the declaration itself, and what the profile sets."""


class Refused(ImproperlyConfigured):
    """The environment cannot be used. The message names every problem, so its traceback adds nothing."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One effective value: the variable that sets it, and its source. Secrets are redacted, so it may be shown."""

    variable: str
    value: str
    source: str


@dataclass(frozen=True)
class Reading:
    """What an environment sets. A malformed value is shown among the settings and missing from the values."""

    environment: Environment
    labels: list[str] = field(default_factory=list)
    """The modules of the process."""
    values: dict[str, Any] = field(default_factory=dict)
    """By field; the modules' own databases by `<module>_<field>`."""
    settings: list[Setting] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def lone_module(self) -> str:
        """The label of the process's only module; empty where it has several."""
        return self.labels[0] if len(self.labels) == 1 else ""

    def read(self, each: "Field[Any]", default: Any, source: str = DEFAULT, *, owner: str = "") -> None:
        """Read a field, or with `owner` the setting of the same form that is one module's alone."""
        name, key = (
            (variable_of(owner, variable(each)), f"{owner}_{each.name}") if owner else (variable(each), each.name)
        )
        value, shown = default, "(malformed)"
        try:
            if found := self.environment.find(name, module=self.lone_module if each.metadata["per_module"] else ""):
                source = found.source
                value = parse(found.text, each.default)
                _validate(each, value)
        except Unreadable as error:
            self.problems.append(str(error))
        except ValueError as error:
            self.problems.append(f"{source.partition('=')[0]} {error}")
        else:
            self.values[key] = value
            shown = redacted(text_of(value))
            shown = "***" if shown and each.metadata["secret"] and "://" not in shown else shown
        if not owner or source != DEFAULT:
            self.settings.append(Setting(variable=name, value=shown, source=source))


def examine(
    kind: Any, environ: Mapping[str, str], *, required: Sequence[str] = (), defaults: Mapping[str, Any] | None = None
) -> Reading:
    """Read every field of `kind`, whose metadata are those that `declared.setting` gives. Raises nothing."""
    profile = defaults or {}
    reading = Reading(Environment(environ))

    def read(*, per_module: bool) -> None:
        for each in fields(kind):
            if each.metadata["per_module"] is per_module:
                source = PROFILE if each.name in profile else DEFAULT
                reading.read(each, profile.get(each.name, each.default), source)
                if each.name in required and not reading.values.get(each.name, "malformed"):
                    reading.problems.append(f"{variable(each)} is not set. {each.metadata['why']}")

    read(per_module=False)
    _find_modules(reading)  # whose own variables the others are read from
    read(per_module=True)
    for label in reading.labels:
        for each in fields(kind):
            if each.metadata["owned"]:
                reading.read(each, each.default, owner=label)
    return reading


def refuse(problems: Sequence[str]) -> None:
    """Raise Refused with all of them, if there are any."""
    if problems:
        raise Refused("The configuration is incomplete or unsafe:\n  - " + "\n  - ".join(problems))


def variable(each: "Field[Any]") -> str:
    """The environment variable of a field."""
    return each.metadata["env"] or each.name.upper()


def _find_modules(reading: Reading) -> None:
    chosen, package = reading.values.get("modules", ()), reading.values.get("modules_package", "")
    try:
        present = modules.discover(package)
    except (ImportError, ValueError):
        present = []
    reading.labels.extend(chosen if present and chosen else present)
    if not present:
        reading.problems.append(
            f"PANGAEA_MODULES_PACKAGE is {package!r}, in which there are no modules: name a Python package."
        )
    elif unknown := sorted(set(chosen) - set(present)):
        reading.problems.append(
            f"PANGAEA_MODULES names {', '.join(unknown)}; in {package} there are: {', '.join(present)}."
        )


def _validate(each: "Field[Any]", value: Any) -> None:
    """Raise ValueError with what the validator finds. An empty value is well-formed where the default is empty."""
    validator = each.metadata["validator"] or (lambda _: "")
    texts = value if isinstance(value, tuple) else [str(value)] if value or each.default else []
    if problem := next(filter(None, map(validator, texts)), ""):
        raise ValueError(problem)
