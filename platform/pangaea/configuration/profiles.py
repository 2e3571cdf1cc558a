"""The profiles, and what an environment makes of one: `examine_profile` without starting Django.

The settings modules `local`, `monolith`, `service` and `test` are made of this; so is `manage.py config`, which has to
work where they refuse to load.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from joserfc.jwk import ECKey

from pangaea import modules
from pangaea.configuration import safety
from pangaea.configuration.declared import Declared
from pangaea.configuration.environment import PROFILE, Environment, Unreadable, variable_of
from pangaea.configuration.generated import generated_secrets
from pangaea.configuration.reading import Reading, Setting, examine, refuse, variable

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
    defaults: Callable[[Mapping[str, str]], dict[str, str]] = lambda _: {}
    """What the profile sets where the environment does not. Raises OSError where it cannot keep its files."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Variables whose values in the environment are ignored."""
    database: Callable[[Mapping[str, str], str], str] = lambda *_: "sqlite://:memory:"
    """The URL of an alias, in a profile that is not deployed."""


@dataclass(frozen=True)
class Configuration:
    """What an environment makes of a profile. Use `declared` and the URLs only where there are no problems."""

    profile: Profile
    environ: Mapping[str, str]
    reading: Reading

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

    @property
    def database_urls(self) -> dict[str, str]:
        """By alias."""
        urls = _urls(self.reading, "database_url")
        if self.profile.deployed:
            return urls
        return {alias: self.profile.database(self.environ, alias) for alias in urls}

    @property
    def direct_urls(self) -> dict[str, str]:
        """The same databases without a pooler, by alias; empty where none is set."""
        return _urls(self.reading, "direct_database_url") if self.profile.deployed else {}

    @property
    def settings(self) -> list[Setting]:
        """Every effective value."""
        urls = {} if self.profile.deployed else self.database_urls
        return self.reading.settings + [
            Setting(variable=f"({alias})", value=url, source=PROFILE) for alias, url in urls.items()
        ]

    @property
    def problems(self) -> list[str]:
        """Everything missing, malformed or unsafe."""
        reading = self.reading
        found = reading.problems + safety.contradictions(fields(Declared), reading.values)
        return found + safety.unsafe(reading, self.environ) if self.profile.deployed else found

    @property
    def remarks(self) -> list[str]:
        """What is probably a mistake, and harmless: variables for one module, in a process that has several."""
        return [
            f"{name} has no effect: it is for a process with one module, and this one runs {', '.join(self.labels)}."
            for label in ([] if self.reading.lone_module else self.labels)
            for each in fields(Declared)
            if each.metadata["per_module"]
            for name in [variable_of(label, variable(each))]
            if name in self.environ or f"{name}_FILE" in self.environ
        ]


def load(name: str, environ: Mapping[str, str]) -> Configuration:
    """The configuration of a profile. Raises ImproperlyConfigured naming everything missing, malformed or unsafe."""
    configuration = examine_profile(name, environ)
    refuse(configuration.problems)
    return configuration


def examine_profile(name: str, environ: Mapping[str, str]) -> Configuration:
    """The same, whatever is wrong with it."""
    profile = PROFILES[name]
    environ = {**environ, **profile.overrides}
    defaults: dict[str, str] = {}
    problems = []
    try:
        defaults = profile.defaults(environ)
    except Unreadable:
        pass  # a problem of the reading too
    except OSError as error:
        problems.append(
            f"{STATE} is {error.filename!r}, where no files can be kept ({error.strerror}): name a folder that can."
        )
    environment = Environment(environ, defaults)
    reading = examine(Declared, environment, required=profile.required, deployed=profile.deployed)
    reading.problems.extend(problems)
    return Configuration(profile, environ, reading)


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where the local profile keeps its files."""
    return modules.project_root() / (Environment(environ).text(STATE) or ".local")


def _local(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
        "SECURE_COOKIES": "false",
        "API_DOCUMENTS_PUBLIC": "true",
        "BROKER_URL": "memory://localhost/",
        "LOG_FORMAT": "text",
        # SQLite has one writer: a batch holds the file's lock, and requests wait for it.
        "RELAY_BATCH": "50",
        **generated_secrets(state_folder(environ)),
    }


def _test(_environ: Mapping[str, str]) -> dict[str, str]:
    return {
        "SECRET_KEY": "only-for-tests-" + "0123456789abcdefghijklmnopqrstuvwxyz",
        "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
        "API_DOCUMENTS_PUBLIC": "true",
        "SIGNING_KEY": ECKey.generate_key("P-256").as_pem(private=True).decode(),
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
