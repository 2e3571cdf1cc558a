"""A dataclass of settings read from an environment: every value with its source, and all mistakes at once."""

from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from pangaea import modules
from pangaea.configuration.environment import Environment, Unreadable, variable_of
from pangaea.configuration.values import parse, redacted, text_of

DEFAULT = "default"
"""The source of what no variable and no profile sets."""


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
    deployed: bool
    """Whether values are judged by what is unsafe in a deployment, too."""
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

    def read(self, each: "Field[Any]", *, owner: str = "") -> None:
        """Read a field, or with `owner` the setting of the same form that is one module's alone."""
        name, key = variable(each), each.name
        if owner:
            name, key = variable_of(owner, name), f"{owner}_{key}"
        value, shown, source = each.default, "(malformed)", DEFAULT
        try:
            if found := self.environment.find(name, module=self.lone_module if each.metadata["per_module"] else ""):
                source = found.source
                value = parse(found.text, each.default)
                _judge(each, "validator", value)
            self.values[key] = value
            shown = redacted(text_of(value))
            if self.deployed:
                _judge(each, "deployed", value)
        except Unreadable as error:
            self.problems.append(str(error))
        except ValueError as error:
            self.problems.append(f"{source.partition('=')[0]} {error}")
        if each.metadata["secret"] and key in self.values and "://" not in shown:
            shown = "***" if value else ""
        if not owner or source != DEFAULT:
            self.settings.append(Setting(variable=name, value=shown, source=source))


def examine(
    kind: Any,
    environment: Environment,
    *,
    required: Sequence[str] = (),
    deployed: bool = False,
) -> Reading:
    """Read every field of `kind`, whose metadata are those that `declared.setting` gives. Raises nothing."""
    reading = Reading(environment, deployed)
    for each in fields(kind):
        if not each.metadata["per_module"]:
            reading.read(each)
    _find_modules(reading)  # whose own variables the others are read from
    for each in fields(kind):
        if each.metadata["per_module"]:
            reading.read(each)
        for label in reading.labels if each.metadata["owned"] else ():
            reading.read(each, owner=label)
        if each.name in required and not reading.values.get(each.name, "malformed"):
            reading.problems.append(f"{variable(each)} is not set. {each.metadata['why']}")
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
    if not present:
        problem = f"PANGAEA_MODULES_PACKAGE is {package!r}, in which there are no modules: name a Python package."
        reading.problems.append(problem)
    elif unknown := sorted(set(chosen) - set(present)):
        problem = f"PANGAEA_MODULES names {', '.join(unknown)}; in {package} there are: {', '.join(present)}."
        reading.problems.append(problem)
    reading.labels.extend(chosen if present and chosen else present)


def _judge(each: "Field[Any]", kind: str, value: Any) -> None:
    """Raise ValueError with what that validator finds. An empty value is well-formed where the default is empty."""
    texts = value if isinstance(value, tuple) else [str(value)] if value or each.default else []
    for text in texts if each.metadata[kind] else ():
        if problem := each.metadata[kind](text):
            raise ValueError(problem)
