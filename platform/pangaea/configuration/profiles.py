"""The profiles, and what an environment makes of one: `examine_profile` without starting Django.

The settings modules `local`, `monolith`, `service` and `test` are made of this; so is `manage.py config`, which has to
work where they refuse to load.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

from pangaea import modules
from pangaea.configuration import transport
from pangaea.configuration.declared import Declared
from pangaea.configuration.environment import Environment, Unreadable, variable_of
from pangaea.configuration.generated import generated_secrets
from pangaea.configuration.reading import PROFILE, Reading, Setting, examine, refuse, variable
from pangaea.configuration.safety import contradictions, unsafe

STATE = "LOCAL_STATE_DIR"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One way to run."""

    name: str
    required: tuple[str, ...] = ()
    deployed: bool = False
    """Strangers reach it, so what is unsafe is refused."""
    in_process: bool = False
    """runserver carries the messages too, in a process for development."""
    shares_host: bool = False
    """Others answer at other paths of the same host, so the admin is at `/admin/<module>/`."""
    defaults: Callable[[Mapping[str, str]], dict[str, Any]] = lambda _: {}
    """What the profile sets where the environment does not. Raises OSError where it cannot keep its files."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Variables whose values in the environment are ignored."""
    database: Callable[[Mapping[str, str], str], str] = lambda *_: "sqlite://:memory:"
    """The URL of an alias, in a profile that is not deployed."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What an environment makes of a profile. Use `declared` and the URLs only where there are no problems."""

    profile: Profile
    reading: Reading
    database_urls: Mapping[str, str]
    """By alias."""
    direct_urls: Mapping[str, str]
    """The same databases without a pooler, by alias; empty where none was set."""
    settings: list[Setting]
    problems: list[str]
    remarks: list[str]
    """What is probably a mistake, and does no harm."""

    @property
    def declared(self) -> Declared:
        return Declared.of(self.reading)

    @property
    def labels(self) -> list[str]:
        return self.reading.labels

    @property
    def admin_path(self) -> str:
        """The path of the admin, without the slash before it. Of several modules of a service, the first one has it."""
        return f"admin/{min(self.labels)}/" if self.profile.shares_host else "admin/"


def load(name: str, environ: Mapping[str, str]) -> Configuration:
    """The configuration of a profile. Raises ImproperlyConfigured naming everything missing, malformed or unsafe."""
    configuration = examine_profile(name, environ)
    refuse(configuration.problems)
    return configuration


def examine_profile(name: str, environ: Mapping[str, str]) -> Configuration:
    """The same, whatever is wrong with it."""
    profile = PROFILES[name]
    environ = {**environ, **profile.overrides}
    defaults: dict[str, Any] = {}
    problems: list[str] = []
    try:
        defaults = profile.defaults(environ)
    except Unreadable:
        pass  # a problem of the reading too
    except OSError as error:
        problems.append(
            f"{STATE} is {error.filename!r}, where no files can be kept ({error.strerror}): name a folder that can."
        )
    reading = examine(Declared, environ, required=profile.required, defaults=defaults)
    problems += reading.problems + contradictions(fields(Declared), reading.values)
    urls, direct, chosen = _urls(reading, "database_url"), _urls(reading, "direct_database_url"), []
    if profile.deployed:
        problems += [*_databases(reading), *unsafe(reading.values), *_unverified(environ, reading)]
    else:
        urls, direct = {alias: profile.database(environ, alias) for alias in urls}, {}
        chosen = [Setting(variable=f"({alias})", value=url, source=PROFILE) for alias, url in urls.items()]
    return Configuration(
        profile=profile,
        reading=reading,
        database_urls=urls,
        direct_urls=direct,
        settings=reading.settings + chosen,
        problems=problems,
        remarks=_ineffective(environ, reading),
    )


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where the local profile keeps its files."""
    return modules.project_root() / (Environment(environ).text(STATE) or ".local")


def _local(environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        "allowed_hosts": ("localhost", "127.0.0.1", "[::1]"),
        "secure_cookies": False,
        "api_documents_public": True,
        "broker_url": "memory://localhost/",
        "log_format": "text",
        # SQLite has one writer: a batch holds the file's lock, and requests wait for it.
        "relay_batch": 50,
        **generated_secrets(state_folder(environ)),
    }


def _test(_environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        "secret_key": "only-for-tests-" + "0123456789abcdefghijklmnopqrstuvwxyz",
        "allowed_hosts": ("testserver", "localhost", "127.0.0.1"),
        "api_documents_public": True,
        "signing_key": ECKey.generate_key("P-256").as_pem(private=True).decode(),
    }


_DEPLOYED = ("secret_key", "allowed_hosts", "broker_url")

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="local",
            in_process=True,
            defaults=_local,
            database=lambda environ, alias: f"sqlite:///{state_folder(environ) / alias}.sqlite3",
        ),
        Profile(name="monolith", required=_DEPLOYED, deployed=True),
        Profile(name="service", required=("modules", *_DEPLOYED), deployed=True, shares_host=True),
        # The suite points its aliases at servers of its own before the first query.
        Profile(name="test", defaults=_test, overrides={"DATABASE_URL": "", "BROKER_URL": "memory://localhost/"}),
    )
}


def _urls(reading: Reading, name: str) -> dict[str, str]:
    """The URL of every alias. A module with a database of its own uses no shared URL; if alone, it holds `ops` too."""
    shared = reading.values.get(name, "")
    urls = {
        label: reading.values.get(f"{label}_{name}", "") if reading.values.get(f"{label}_database_url") else shared
        for label in reading.labels
    }
    return {"default": urls[reading.lone_module] if reading.lone_module else shared, **urls}


def _databases(reading: Reading) -> list[str]:
    """Databases that no variable names. A malformed URL has no value, and its own problem."""
    values, problems = reading.values, []
    lacking = [label for label in reading.labels if values.get(f"{label}_database_url") == ""]
    if values.get("database_url") == "":
        if lacking:
            names = ", ".join(variable_of(label, "DATABASE_URL") for label in lacking)
            problems.append(f"DATABASE_URL is not set: set it, or {names}.")
        elif not reading.lone_module:
            problems.append("DATABASE_URL is not set: with several modules, the operators' tables need it.")
    return problems + [
        f"{variable_of(label, 'DIRECT_DATABASE_URL')} is set, and {variable_of(label, 'DATABASE_URL')} is not: "
        "the two name one database, through a pooler and past it."
        for label in lacking
        if values.get(f"{label}_direct_database_url") != ""
    ]


def _unverified(environ: Mapping[str, str], reading: Reading) -> list[str]:
    """URLs of other hosts without verified TLS."""
    values, lone = reading.values, reading.lone_module
    # A service with a database of its own never uses the shared one.
    unused = {"database_url", "direct_database_url"} if lone and values.get(f"{lone}_database_url") != "" else set()
    return [
        problem
        for name, url in values.items()
        if name.endswith("_url") and name not in unused
        for problem in transport.problems(
            name.upper(), url, accepted=values.get("unverified_hosts", ()), environ=environ
        )
    ]


def _ineffective(environ: Mapping[str, str], reading: Reading) -> list[str]:
    """Variables for a module alone, in a process that has several."""
    names = [
        variable_of(label, variable(each))
        for label in ([] if reading.lone_module else reading.labels)
        for each in fields(Declared)
        if each.metadata["per_module"]
    ]
    return [
        f"{name} has no effect: this process runs {', '.join(reading.labels)}, and it is for a process with one module."
        for name in names
        if name in environ or f"{name}_FILE" in environ
    ]
