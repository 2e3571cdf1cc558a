"""What the profiles ask of the environment, and what an environment makes of one: `examine` without starting Django.

The settings modules `local`, `monolith`, `service` and `test` are made of this; so is `manage.py config`, which has to
work where they refuse to load.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pangaea import modules
from pangaea.configuration import transport
from pangaea.configuration.declared import Declared, contradictions
from pangaea.configuration.environment import Environment, Unreadable, variable_of
from pangaea.configuration.generated import generated_secrets
from pangaea.configuration.reading import PROFILE, Reading, examine, refuse, variable
from pangaea.configuration.validators import database, redacted

DATABASE_URL = "DATABASE_URL"
DIRECT_DATABASE_URL = "DIRECT_DATABASE_URL"
STATE = "LOCAL_STATE_DIR"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One way to run. `deployed`: strangers reach it, so what is unsafe is refused."""

    name: str
    required: tuple[str, ...] = ()
    deployed: bool = False
    shares_host: bool = False
    """Others answer at other paths of the same host, so the admin is at `/admin/<module>/`."""
    defaults: Callable[[Mapping[str, str]], dict[str, Any]] = lambda _: {}
    """What the profile sets where the environment says nothing. Raises OSError where it cannot keep its files."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Variables that are not believed to the environment."""
    database: Callable[[Mapping[str, str], str], str] = lambda *_: "sqlite://:memory:"
    """The URL of an alias, where the environment is not asked for it."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One effective value: the variable that would set it, and what did. The value can be shown to anybody."""

    variable: str
    value: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What an environment makes of a profile. Use `declared` and `database_urls` only where nothing is wrong."""

    profile: Profile
    reading: Reading
    database_urls: Mapping[str, str]
    """By alias."""
    direct_urls: Mapping[str, str]
    """The same databases past a pooler, by alias; empty where none was set."""
    settings: list[Setting]
    problems: list[str]
    remarks: list[str]
    """What is probably not meant, and harms nothing."""

    @property
    def declared(self) -> Declared:
        return Declared(**self.reading.values)

    @property
    def labels(self) -> list[str]:
        return list(self.reading.labels)

    @property
    def admin_path(self) -> str:
        """Where the admin is, without the slash before it. Of several modules of a service, the first one has it."""
        return f"admin/{min(self.labels)}/" if self.profile.shares_host else "admin/"


def load(name: str, environ: Mapping[str, str]) -> Configuration:
    """The configuration of a profile. Raises ImproperlyConfigured naming everything missing, malformed or unsafe."""
    configuration = examine_profile(name, environ)
    refuse(configuration.problems)
    return configuration


def examine_profile(name: str, environ: Mapping[str, str]) -> Configuration:
    """The same, whatever is wrong with it. Raises LookupError for a profile that does not exist."""
    if name not in PROFILES:
        raise LookupError(f"There is no profile {name!r}. There are: {', '.join(PROFILES)}.")
    profile = PROFILES[name]
    environ = {**environ, **profile.overrides}
    problems = []
    try:
        defaults = profile.defaults(environ)
    except Unreadable:
        defaults = {}
    except OSError as error:
        defaults = {}
        problems.append(
            f"{STATE} is {error.filename!r}, where no files can be kept ({error.strerror}): name a folder that can."
        )
    reading = examine(Declared, environ, required=profile.required, defaults=defaults)
    problems += reading.problems
    problems += contradictions(reading.values)
    own, shown, wrong = _own_urls(profile, reading, DATABASE_URL)
    urls, more, missing = _databases(profile, environ, reading, own)
    direct, of_direct, useless = _direct_urls(profile, reading, own)
    problems += [*wrong, *missing, *useless]
    if profile.deployed:
        problems += _unsafe(reading.values)
        problems += _unverified(environ, reading, own, direct)
    return Configuration(
        profile=profile,
        reading=reading,
        database_urls=urls,
        direct_urls=direct,
        settings=[*_settings(reading), *shown, *more, *of_direct],
        problems=problems,
        remarks=_ineffective(environ, reading),
    )


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where the local profile keeps its files."""
    found = Environment(environ).find(STATE)
    return modules.project_root() / ((found and found.text) or ".local")


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
    from joserfc.jwk import ECKey

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
            defaults=_local,
            database=lambda environ, alias: f"sqlite:///{state_folder(environ) / alias}.sqlite3",
        ),
        Profile(name="monolith", required=_DEPLOYED, deployed=True),
        Profile(name="service", required=("modules", *_DEPLOYED), deployed=True, shares_host=True),
        # The suite points its aliases at servers of its own before the first query.
        Profile(name="test", defaults=_test, overrides={DATABASE_URL: "", "BROKER_URL": "memory://localhost/"}),
    )
}


def _own_urls(profile: Profile, reading: Reading, variable: str) -> tuple[dict[str, str], list[Setting], list[str]]:
    """The modules' own values of a variable with a database's URL, by label; how to show them, and what is wrong."""
    own: dict[str, str] = {}
    shown, problems = [], []
    for label in reading.labels if profile.deployed else ():
        name = variable_of(label, variable)
        try:
            found = reading.environment.find(name, general=True)
        except Unreadable as error:
            problems.append(str(error))
            continue
        if found and found.text.strip():
            own[label] = found.text.strip()
            wrong = database(own[label])
            problems += [f"{found.source.partition('=')[0]} {wrong}"] if wrong else []
            shown.append(Setting(variable=name, value="***" if wrong else redacted(own[label]), source=found.source))
    return own, shown, problems


def _databases(
    profile: Profile, environ: Mapping[str, str], reading: Reading, own: Mapping[str, str]
) -> tuple[dict[str, str], list[Setting], list[str]]:
    """The URL of every alias: `<MODULE>_DATABASE_URL`, else DATABASE_URL. A lone module's own one holds `ops` too."""
    if not profile.deployed:
        urls = {alias: profile.database(environ, alias) for alias in ["default", *reading.labels]}
        return urls, [Setting(variable=f"({alias})", value=url, source=PROFILE) for alias, url in urls.items()], []
    problems = []
    shared = reading.values.get("database_url", "")
    malformed = "database_url" not in reading.values
    if missing := [variable_of(label, DATABASE_URL) for label in reading.labels if label not in own]:
        if not (shared or malformed):
            problems.append(f"DATABASE_URL is not set: set it, or {', '.join(missing)}.")
    elif len(reading.labels) > 1 and not (shared or malformed):
        problems.append("DATABASE_URL is not set: with several modules, the operators' tables need it.")
    lone = own.get(reading.labels[0], "") if len(reading.labels) == 1 else ""
    return {"default": lone or shared, **{label: own.get(label, shared) for label in reading.labels}}, [], problems


def _direct_urls(
    profile: Profile, reading: Reading, own: Mapping[str, str]
) -> tuple[dict[str, str], list[Setting], list[str]]:
    """The URL of every alias past a pooler: `<MODULE>_DIRECT_DATABASE_URL` goes with `<MODULE>_DATABASE_URL`."""
    direct, shown, problems = _own_urls(profile, reading, DIRECT_DATABASE_URL)
    problems += [
        f"{variable_of(label, DIRECT_DATABASE_URL)} is set, and {variable_of(label, DATABASE_URL)} is not: "
        "the two name one database, through a pooler and past it."
        for label in direct
        if label not in own
    ]
    shared = reading.values.get("direct_database_url", "")
    urls = {label: direct.get(label, "") if label in own else shared for label in reading.labels}
    lone = urls[reading.labels[0]] if len(reading.labels) == 1 else shared
    return {"default": lone, **urls}, shown, problems


def _unverified(
    environ: Mapping[str, str], reading: Reading, own: Mapping[str, str], direct: Mapping[str, str]
) -> list[str]:
    """URLs of other hosts without verified TLS. What is malformed is named elsewhere."""
    accepted = reading.values.get("unverified_hosts", ())
    urls = {name.upper(): url for name, url in reading.values.items() if name.endswith("_url")}
    if list(own) == list(reading.labels) and len(own) == 1:
        # Of a service with a database of its own nothing reaches the shared one.
        urls = {name: url for name, url in urls.items() if name not in {DATABASE_URL, DIRECT_DATABASE_URL}}
    for variable_name, found in ((DATABASE_URL, own), (DIRECT_DATABASE_URL, direct)):
        urls |= {variable_of(label, variable_name): found[label] for label in own if not database(found[label])}
    return [
        problem
        for name, url in urls.items()
        for problem in transport.problems(name, url, accepted=accepted, environ=environ)
    ]


def _unsafe(values: Mapping[str, Any]) -> list[str]:
    """What a deployment that strangers reach must not have. What is malformed or missing is named elsewhere."""
    wrong = []
    keys = {
        "SECRET_KEY": [values.get("secret_key", "")],
        "SECRET_KEY_FALLBACKS": values.get("secret_key_fallbacks", ()),
    }
    for name, found in keys.items():
        if any(key and (len(key) < 50 or len(set(key)) < 5) for key in found):  # noqa: PLR2004 - Django's own, W009
            wrong.append(f"{name} is short or repetitive: set 50 random characters or more.")
    if "*" in values.get("allowed_hosts", ()):
        wrong.append("ALLOWED_HOSTS is '*', which lets anybody forge links: name the hosts.")
    broker = values.get("broker_url", "")
    if broker and not broker.startswith(("amqp://", "amqps://", "redis://", "rediss://", "unix://")):
        wrong.append(
            "BROKER_URL must be amqp(s):// or redis(s)://: other processes cannot reach a bus inside this one."
        )
    if not any(values.get(name, "malformed") for name in ("signing_key", "jwks_url")):
        wrong.append(
            "SIGNING_KEY (where users runs) or JWKS_URL (elsewhere) is not set; access tokens need one of them."
        )
    return wrong


def _settings(reading: Reading) -> list[Setting]:
    return [
        Setting(variable=variable(each), value=_shown(each, reading), source=reading.sources[each.name])
        for each in fields(Declared)
    ]


def _shown(each: Any, reading: Reading) -> str:
    if each.name not in reading.values:
        return "(malformed)"
    text = text_of(reading.values[each.name])
    if each.metadata["secret"] and "://" not in text:
        return "***" if text else ""
    return redacted(text)


def text_of(value: Any) -> str:
    """A value as its variable would have it."""
    if hasattr(value, "total_seconds"):
        seconds: float = value.total_seconds()
        return str(int(seconds)) if seconds == int(seconds) else str(seconds)
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _ineffective(environ: Mapping[str, str], reading: Reading) -> list[str]:
    """Variables for a module alone, in a process that has several."""
    if reading.environment.module:
        return []
    names = [
        variable_of(label, variable(each))
        for label in reading.labels
        for each in fields(Declared)
        if not each.metadata["general"]
    ]
    return [
        f"{name} has no effect: this process runs {', '.join(reading.labels)}, and it is for a process with one module."
        for name in names
        if name in environ or f"{name}_FILE" in environ
    ]
