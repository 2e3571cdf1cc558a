"""A profile's configuration, read from an environment: every value with its source, and all problems at once."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import Field, dataclass, fields
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from pangaea import modules
from pangaea.configuration import safety
from pangaea.configuration.declared import Declared, variable
from pangaea.configuration.environment import DEFAULT, PROFILE, Environment, Unreadable, variable_of
from pangaea.configuration.profiles import PROFILES, STATE, Profile
from pangaea.configuration.values import parse, redacted, text_of
from pangaea.databases.aliases import MAX_LABEL_BYTES


class Refused(ImproperlyConfigured):
    """The environment is refused. The message names every problem and its remedy, so print it without a traceback."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One effective value: the variable that sets it, and its source. Secrets are redacted, so it may be shown."""

    variable: str
    value: str
    source: str


class Configuration:
    """A profile in an environment. Use `declared` and the URLs only if there are no `problems`."""

    def __init__(self, profile: Profile, environ: Mapping[str, str]) -> None:
        self.profile = profile
        self.environ = {**environ, **profile.overrides}
        self.settings: list[Setting] = []
        """Every effective value."""
        self.problems: list[str] = []
        """Everything missing, malformed or unsafe."""
        self.labels: list[str] = []
        """The modules of the process."""
        self._values: dict[str, Any] = {}
        """The values by field, those of `owned` settings also by `<module>_<field>`. Malformed values are left out."""
        self._environment = Environment(self.environ, self._defaults())
        self._read(per_module=False)
        self._find_modules()  # the other settings may be in a module's own variables
        self._read(per_module=True)
        if not profile.deployed:
            with suppress(Unreadable):  # reported with LOCAL_STATE_DIR
                urls = self.database_urls.items()
                self.settings += [Setting(variable=f"({alias})", value=url, source=PROFILE) for alias, url in urls]
        self.problems += safety.contradictions(self._values)
        if profile.deployed:
            self.problems += safety.unsafe(self.labels, self._values, self.environ)

    @property
    def declared(self) -> Declared:
        return Declared(**{each.name: self._values[each.name] for each in fields(Declared)})

    @property
    def admin_path(self) -> str:
        """The path of the admin, without a leading slash. A service of several modules names the first one in it."""
        return f"admin/{min(self.labels)}/" if self.profile.shares_host else "admin/"

    @property
    def database_urls(self) -> dict[str, str]:
        """The URL of each alias's database."""
        if self.profile.deployed:
            return self._urls("database_url")
        return {alias: self.profile.database(self.environ, alias) for alias in ("default", *self.labels)}

    @property
    def direct_urls(self) -> dict[str, str]:
        """The URLs of the same databases without a pooler, by alias; an empty text where none is set."""
        return self._urls("direct_database_url") if self.profile.deployed else {}

    @property
    def remarks(self) -> list[str]:
        """Probable mistakes that do no harm: variables of one module in a process with several."""
        return [
            f"{name} has no effect: it is for a process with one module, and this one runs {', '.join(self.labels)}."
            for label in (self.labels if len(self.labels) > 1 else ())
            for each in fields(Declared)
            if each.metadata["per_module"]
            and self.environ.keys() & {name := variable_of(label, variable(each)), f"{name}_FILE"}
        ]

    def _defaults(self) -> dict[str, str]:
        try:
            return self.profile.defaults(self.environ)
        except Unreadable:  # reported when its setting is read
            return {}
        except OSError as error:
            folder = f"{error.filename!r}, where no files can be kept ({error.strerror})"
            self.problems.append(f"{STATE} is {folder}: name a folder that can.")
            return {}

    def _find_modules(self) -> None:
        chosen, package = self._values.get("modules", ()), self._values.get("modules_package", "")
        try:
            present = modules.discover(package)
        except (ImportError, ValueError):
            present = []
        self.labels += dict.fromkeys(chosen if present and chosen else present)
        if "modules_package" not in self._values:
            return  # malformed, and reported
        if not present:
            problem = f"PANGAEA_MODULES_PACKAGE is {package!r}, in which there are no modules: name a Python package."
            self.problems.append(problem)
        elif unknown := sorted(set(chosen) - set(present)):
            names = f"PANGAEA_MODULES names {', '.join(unknown)}"
            self.problems.append(f"{names}; in {package} there are: {', '.join(present)}.")
        elif len(chosen) > len(set(chosen)):
            self.problems.append("PANGAEA_MODULES names a module twice: name each once.")
        self.problems += [
            f"PANGAEA_MODULES_PACKAGE has the module {label}, whose name has more than {MAX_LABEL_BYTES} bytes: give "
            "its folder a shorter name. PostgreSQL would cut names that are made from it."
            for label in self.labels
            if len(label.encode()) > MAX_LABEL_BYTES
        ]

    def _read(self, *, per_module: bool) -> None:
        for each in fields(Declared):
            if each.metadata["per_module"] is per_module:
                module = self.labels[0] if per_module and len(self.labels) == 1 else ""
                self._set(each, variable(each), each.name, module=module)
                if each.name in self.profile.required and not self._values.get(each.name, "malformed"):
                    self.problems.append(f"{variable(each)} is not set. {each.metadata['why']}")
            # Only a deployed profile uses the databases that the environment names.
            for label in self.labels if each.metadata["owned"] and self.profile.deployed else ():
                self._set(each, variable_of(label, variable(each)), f"{label}_{each.name}")

    def _set(self, each: "Field[Any]", name: str, key: str, *, module: str = "") -> None:
        """Read the setting that the field declares from the variable `name`, and store its value under `key`."""
        value, shown, source = each.default, "(malformed)", DEFAULT
        try:
            if found := self._environment.find(name, module=module, lines=each.metadata["lines"]):
                source = found.source
                value = parse(found.text, each.default)
                _judge(each, "validator", value)
            self._values[key] = value
            # A secret is hidden, unless it is a URL, which is shown without its password.
            is_hidden = value and each.metadata["secret"] and not key.endswith("_url")
            shown = "***" if is_hidden else redacted(text_of(value))
            if self.profile.deployed:
                _judge(each, "deployed", value)
        except Unreadable as error:
            source = name
            self.problems.append(str(error))
        except ValueError as error:
            self.problems.append(f"{source.partition('=')[0]} {error}")
        if key == each.name or source != DEFAULT:
            self.settings.append(Setting(variable=name, value=shown, source=source))

    def _urls(self, name: str) -> dict[str, str]:
        """The URLs by alias. A module with its own database uses no shared URL.

        The `default` of a process with one module is in the database of that module.
        """
        shared, values = self._values.get(name, ""), self._values
        urls = {
            label: values.get(f"{label}_{name}", "") if values.get(f"{label}_database_url") else shared
            for label in self.labels
        }
        return {"default": urls[self.labels[0]] if len(urls) == 1 else shared, **urls}


def load(profile: str, environ: Mapping[str, str]) -> Configuration:
    """The configuration of a profile. Raises Refused, naming everything missing, malformed or unsafe."""
    return _accepted(Configuration(PROFILES[profile], environ))


def declared(environ: Mapping[str, str]) -> Declared:
    """The settings of an environment without a profile. Raises Refused, naming everything malformed."""
    return _accepted(Configuration(Profile(), environ)).declared


def _accepted(configuration: Configuration) -> Configuration:
    if configuration.problems:
        problems = "\n  - ".join(configuration.problems)
        raise Refused(f"The configuration is incomplete or unsafe:\n  - {problems}")
    return configuration


def _judge(each: "Field[Any]", kind: str, value: Any) -> None:
    """Raise ValueError with the problem that this validator finds. An empty value is valid if the default is empty."""
    texts = value if isinstance(value, tuple) else [text_of(value)] if value or each.default else []
    for text in texts if each.metadata[kind] else ():
        if problem := each.metadata[kind](text):
            raise ValueError(problem)
