"""What is wrong between settings of which each is well-formed: contradictions, and what no deployment may have.

Values are by field. Those that are malformed or missing are not there: other problems name them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any

from pangaea.configuration.reading import variable


def contradictions(settings: Sequence["Field[Any]"], values: Mapping[str, Any]) -> list[str]:
    """What no profile can start with."""
    problems = [
        f"{variable(each)} is longer than {limit.upper()}: set it to less."
        for each in settings
        if (limit := each.metadata["within"]) in values and values.get(each.name, values[limit]) > values[limit]
    ]
    file, material = values.get("signing_key_file"), values.get("signing_key")
    # A module's own SIGNING_KEY comes before the shared SIGNING_KEY_FILE, which would then never be signed with.
    if file and material and Path(file).read_text(encoding="utf-8").strip() != material.strip():
        problems.append("SIGNING_KEY_FILE and a module's own SIGNING_KEY are both set: keep one of them.")
    return problems + _weak_identity(values)


def _weak_identity(values: Mapping[str, Any]) -> list[str]:
    files = {name: values.get(name.lower(), "malformed") for name in ("TLS_CERTIFICATE", "TLS_KEY", "TLS_CA")}
    if missing := [name for name, path in files.items() if not path]:
        together = f"{' and '.join(missing)} must be set too: TLS_CERTIFICATE, TLS_KEY and TLS_CA go together."
        return [together] if len(missing) < len(files) else []
    problems = []
    if values.get("jwks_url", "").startswith("http://"):
        problems.append("JWKS_URL must be https:// where TLS_CERTIFICATE is set: keys read in clear can be exchanged.")
    if values.get("broker_url", "").startswith("redis") and not values.get("broker_without_logins"):
        problems.append(
            "BROKER_URL is Redis's, where a message cannot be traced to its sender, and TLS_CERTIFICATE is set: use "
            "RabbitMQ, or set BROKER_WITHOUT_LOGINS=true where every service may send in the name of every other."
        )
    return problems


def unsafe(values: Mapping[str, Any]) -> list[str]:
    """What a deployment that strangers reach may not have."""
    problems = [
        f"{name.upper()} is short or repetitive: set 50 random characters or more."
        for name, keys in (
            ("secret_key", [values.get("secret_key", "")]),
            ("secret_key_fallbacks", values.get("secret_key_fallbacks", ())),
        )
        if any(key and (len(key) < 50 or len(set(key)) < 5) for key in keys)  # noqa: PLR2004 - Django's own, W009
    ]
    if "*" in values.get("allowed_hosts", ()):
        problems.append("ALLOWED_HOSTS is '*', which lets anybody forge links: name the hosts.")
    broker = values.get("broker_url", "")
    if broker and not broker.startswith(("amqp://", "amqps://", "redis://", "rediss://", "unix://")):
        problems.append(
            "BROKER_URL must be amqp(s):// or redis(s)://: other processes cannot reach a bus inside this one."
        )
    if not any(values.get(name, "malformed") for name in ("signing_key", "jwks_url")):
        problems.append(
            "SIGNING_KEY (where users runs) or JWKS_URL (elsewhere) is not set; access tokens need one of them."
        )
    return problems
