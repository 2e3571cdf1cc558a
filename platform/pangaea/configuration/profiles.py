"""The profiles: the settings that each requires, its defaults and its overrides."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from joserfc.jwk import ECKey

from pangaea import modules
from pangaea.addresses import sqlite
from pangaea.configuration.environment import Environment
from pangaea.configuration.generated import generated_secrets

STATE = "LOCAL_STATE_DIR"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A way to run Pangaea."""

    required: tuple[str, ...] = ()
    deployed: bool = False
    """Clients reach it over a network, so unsafe settings are refused."""
    in_process: bool = False
    """runserver also runs a relay and a worker, in one process for development."""
    shares_host: bool = False
    """Several services share one host behind the gateway, so the admin is at `/admin/<module>/`."""
    defaults: Callable[[Mapping[str, str]], dict[str, str]] = lambda _: {}
    """Takes the environment; returns texts by variable, which are used where the environment sets none.

    Raises OSError for an unusable folder.
    """
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Variables whose values in the environment are ignored."""
    database: Callable[[Mapping[str, str], str], str] = lambda *_: sqlite.IN_MEMORY
    """Takes the environment and an alias; returns the URL of the alias's database. Unused if `deployed`."""


def state_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the local profile's files. Raises Unreadable."""
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
    "local": Profile(
        in_process=True,
        defaults=_local,
        database=lambda environ, alias: sqlite.url_of(state_folder(environ) / f"{alias}.sqlite3"),
    ),
    "monolith": Profile(required=_DEPLOYED, deployed=True),
    "service": Profile(required=("modules", *_DEPLOYED), deployed=True, shares_host=True),
    # The suite points its aliases at servers of its own before the first query.
    "test": Profile(
        defaults=_test, overrides={"DATABASE_URL": "", "BROKER_URL": "memory://localhost/", "CACHE_URL": ""}
    ),
}
