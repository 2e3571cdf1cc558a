"""Contradictions between settings that are each well-formed, and unsafe combinations of them.

`values` are by field. Malformed values are left out, because they have been reported separately.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pangaea.addresses import broker, cache, http, postgresql
from pangaea.addresses.broker import Broker
from pangaea.addresses.http import Http
from pangaea.addresses.postgresql import PostgreSQL, role_of
from pangaea.configuration import transport
from pangaea.configuration.declared import Declared, variable
from pangaea.configuration.environment import variable_of
from pangaea.databases.aliases import schema_of
from pangaea.errors import Misconfigured


def contradictions(values: Mapping[str, Any]) -> list[str]:
    """Problems that prevent the start in every profile."""
    problems = [
        f"{variable(each)} is longer than {limit.upper()}: set it to less."
        for each in fields(Declared)
        if (limit := each.metadata["within"]) in values and values.get(each.name, values[limit]) > values[limit]
    ]
    file, material = values.get("signing_key_file"), values.get("signing_key")
    # A module's own SIGNING_KEY takes precedence, so the keys in the shared SIGNING_KEY_FILE would never sign.
    if file and material and not _holds(Path(file), material):
        problems.append("SIGNING_KEY_FILE and a module's own SIGNING_KEY are both set: keep one of them.")
    return problems + _weak_identity(values)


def _holds(file: Path, text: str) -> bool:
    try:
        return file.read_text(encoding="utf-8").strip() == text.strip()
    except (OSError, UnicodeDecodeError):
        return False


def _weak_identity(values: Mapping[str, Any]) -> list[str]:
    files = {name: values.get(name.lower(), "malformed") for name in ("TLS_CERTIFICATE", "TLS_KEY", "TLS_CA")}
    if missing := [name for name, path in files.items() if not path]:
        together = f"{' and '.join(missing)} must be set too: TLS_CERTIFICATE, TLS_KEY and TLS_CA go together."
        return [together] if len(missing) < len(files) else []
    problems = []
    if values.get("jwks_url", "").startswith("http:"):
        problems.append("JWKS_URL must be https:// where TLS_CERTIFICATE is set: keys read in clear can be exchanged.")
    if values.get("broker_url", "").startswith("redis") and not values.get("broker_without_logins"):
        problems.append(
            "BROKER_URL is Redis's, where a message cannot be traced to its sender, and TLS_CERTIFICATE is set: use "
            "RabbitMQ, or set BROKER_WITHOUT_LOGINS=true where every service may send in the name of every other."
        )
    return problems


def unsafe(labels: Sequence[str], values: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Problems that prevent the start of a deployment with these modules. `environ` has libpq's own variables, too."""
    return _missing(labels, values) + _cut(labels, values) + _unverified(labels, values, environ)


def _missing(labels: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The problems of missing settings where one of two variables is enough. A malformed setting counts as set."""
    problems = []
    lacking = [label for label in labels if values.get(f"{label}_database_url") == ""]
    if values.get("database_url") == "" and (lacking or len(labels) > 1):
        names = ", ".join(variable_of(label, "DATABASE_URL") for label in lacking)
        reason = f"set it, or {names}" if lacking else "with several modules, the operators' tables need it"
        problems.append(f"DATABASE_URL is not set: {reason}.")
    problems += [
        f"{variable_of(label, 'DIRECT_DATABASE_URL')} is set, and {variable_of(label, 'DATABASE_URL')} is not: "
        "the two name one database, through a pooler and past it."
        for label in lacking
        if values.get(f"{label}_direct_database_url") != ""
    ]
    if not any(values.get(name, "malformed") for name in ("signing_key", "jwks_url")):
        problems.append(
            "SIGNING_KEY (where users runs) or JWKS_URL (elsewhere) is not set; access tokens need one of them."
        )
    return problems


def _unverified(labels: Sequence[str], values: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """The problems of URLs that reach other hosts without verified TLS."""
    own = [label for label in labels if values.get(f"{label}_database_url") != ""]
    # A service with a database of its own never uses the shared one.
    unused = {"database_url", "direct_database_url"} if own == list(labels) and len(own) == 1 else set()
    accepted = values.get("unverified_hosts", ())
    return [
        problem
        for name, text in values.items()
        if text and name not in unused and (address := _address(name, text))
        for problem in transport.problems(name.upper(), address, accepted=accepted, environ=environ)
    ]


def _cut(labels: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The problems of database names that are too long for a role per module."""
    sharing = [label for label in labels if not values.get(f"{label}_database_url")]
    url = "direct_database_url" if values.get("direct_database_url") else "database_url"
    if not sharing or not values.get(url):
        return []
    try:
        role_of(postgresql.parse(values[url]).database, max(map(schema_of, sharing), key=len))
    except Misconfigured as error:
        return [f"{url.upper()} {error}"]
    return []


def _address(name: str, text: str) -> PostgreSQL | Broker | Http | None:
    """The server that a setting's URL names; None for the other settings."""
    if name.endswith("database_url"):
        return postgresql.parse(text)
    if name == "broker_url":
        return broker.parse(text)
    if name == "cache_url":
        return cache.parse(text)
    return http.parse(text, example="") if name == "jwks_url" else None
