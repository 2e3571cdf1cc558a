"""What is wrong between settings of which each is well-formed.

Values are by field. Malformed ones are missing: other problems name them.
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
