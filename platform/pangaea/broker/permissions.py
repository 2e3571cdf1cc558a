"""RabbitMQ's users and permissions, from the modules' declarations: one user per module.

While a module's password is changed, the module has two users, `orders` and `orders-2`, with the same permissions.

A module may declare, bind and read its own queues, write its own streams, and bind its queues to the streams that it
subscribes to and to messages addressed to it. It may neither declare nor delete the exchange, which all modules share:
the exchange is part of the definitions.
"""

import base64
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from pangaea import modules
from pangaea.addresses import broker
from pangaea.broker import management_api, topology
from pangaea.broker.admission import SECOND_LOGIN_SUFFIX
from pangaea.broker.management_api import Management
from pangaea.configuration.declared import Declared
from pangaea.configuration.environment import Environment, variable_of
from pangaea.errors import Misconfigured
from pangaea.messages import ALL
from pangaea.wire import PARTITIONS

ADMINISTRATION = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
"""Folders in which rabbitmqctl may be, and which few accounts have on their PATH."""
CONTROL_TIMEOUT = 60
"""Seconds for a command of rabbitmqctl."""
COMPLAINT_LINES = 10
SECOND_PASSWORD_SUFFIX = "_2"  # noqa: S105 - the end of a variable's name
"""The suffix of the variable with the password of a module's second login."""


def user_of(declared: Declared, label: str) -> str:
    """The RabbitMQ user of a module. Its prefix distinguishes installations that share a server, and so its users."""
    return f"{declared.broker_prefix}{label}"


def password_variable(label: str) -> str:
    """The environment variable that holds the password of a module's user."""
    return variable_of(label, "BROKER_PASSWORD")


def passwords_in(environ: Mapping[str, str], labels: Iterable[str], *, suffix: str = "") -> dict[str, str]:
    """The passwords of these modules, by label: `<MODULE>_BROKER_PASSWORD`, or the content of the file in `…_FILE`.

    Modules without a password are left out. `suffix=SECOND_PASSWORD_SUFFIX` reads the passwords of the second logins.
    """
    environment = Environment(environ)
    found = {label: environment.text(password_variable(label) + suffix) for label in labels}
    return {label: password for label, password in found.items() if password}


def virtual_host_of(declared: Declared) -> str:
    """The virtual host that BROKER_URL names. Raises Misconfigured if the broker is not RabbitMQ."""
    address = broker.parse(declared.broker_url) if declared.broker_url else None
    if address is None or not address.is_rabbitmq:
        raise Misconfigured("Users and permissions are RabbitMQ's: set BROKER_URL to amqp://…, or name --vhost.")
    return address.space


def definitions(
    declared: Declared,
    labels: Iterable[str],
    *,
    virtual_host: str,
    passwords: Mapping[str, str],
    second_passwords: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """RabbitMQ's definitions, for `rabbitmqctl import_definitions` and the management API's /definitions.

    `passwords` has the passwords of the modules' first logins by label, and `second_passwords` those of their second
    logins, which have the same permissions. The definitions contain salted hashes. A login without a password is left
    out, so that it does not change. If a module has no password at all, its first login gets an empty hash, which
    accepts no password.
    """
    exchange = topology.exchange(declared).name
    second_passwords = second_passwords or {}
    logins: list[tuple[str, str, str]] = []
    for label in labels:
        first = user_of(declared, label)
        if label in passwords or label not in second_passwords:
            logins.append((first, label, passwords.get(label, "")))
        if label in second_passwords:
            logins.append((first + SECOND_LOGIN_SUFFIX, label, second_passwords[label]))
    return {
        "vhosts": [{"name": virtual_host}],
        "exchanges": [
            {
                "name": exchange,
                "vhost": virtual_host,
                "type": "topic",
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
        ],
        "users": [
            {
                "name": login,
                "password_hash": hashed(password) if password else "",
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "",
                "limits": {},
            }
            for login, _, password in logins
        ],
        "permissions": [
            {"user": login, "vhost": virtual_host, **permissions(declared, label)} for login, label, _ in logins
        ],
        "topic_permissions": [
            {"user": login, "vhost": virtual_host, "exchange": exchange, **topic_permissions(label)}
            for login, label, _ in logins
        ],
    }


def permissions(declared: Declared, label: str) -> dict[str, str]:
    """Regular expressions for the names that a module may configure, write and read."""
    # The previous version, which runs until a deployment is complete, uses names without the count.
    queues = rf"{re.escape(declared.broker_prefix + label)}\.inbox\.[0-9]+(of[0-9]+)?"
    shared = re.escape(topology.exchange(declared).name)
    # Binding a queue takes the permissions to write to it and to read from the exchange.
    return {"configure": f"^{queues}$", "write": f"^({queues}|{shared})$", "read": f"^({queues}|{shared})$"}


def topic_permissions(label: str) -> dict[str, str]:
    """Regular expressions for the routing keys that a module may send with and bind to."""
    sources = sorted(topology.sources_of(label))
    prefixes = [rf"\*\.{re.escape(label)}"]
    if sources:
        prefixes.insert(0, rf"({'|'.join(map(re.escape, sources))})\." + ALL)
    return {"write": rf"^{re.escape(label)}\.", "read": rf"^({'|'.join(prefixes)})\.(\*|[0-{PARTITIONS - 1}])$"}


def hashed(password: str) -> str:
    """RabbitMQ's hash of a password: salt and SHA-256, in base64."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def control() -> str:
    """The path of rabbitmqctl. Raises Misconfigured if there is none."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *ADMINISTRATION])
    if found := shutil.which("rabbitmqctl", path=path):
        return found
    raise Misconfigured(
        f"There is no rabbitmqctl here. Name the management API (ADMINISTRATOR_URL={management_api.FORM}), or "
        "render the definitions with `manage.py permissions render --rabbitmq` and let an administrator import them."
    )


def apply(document: str, *, administrator: str | None = None, authorities: str = "") -> None:
    """Import definitions, and return when they are in force. Raises Misconfigured if they are refused.

    It uses the management API at the URL `administrator`, with the file `authorities` for https. Without a URL it uses
    rabbitmqctl for the server on this machine. Objects that are not in the definitions stay unchanged. Each import sets
    the passwords.
    """
    if administrator is not None:
        Management(administrator, authorities=authorities).call("POST", "definitions", document=document)
        return
    _controlled("import_definitions", document=document)


def present(*, administrator: str | None = None, authorities: str = "") -> dict[str, Any]:
    """All definitions of the server, by the same ways as `apply`. Raises Misconfigured if they are refused."""
    if administrator is not None:
        found = Management(administrator, authorities=authorities).call("GET", "definitions")
    else:
        found = json.loads(_controlled("export_definitions", "-"))
    return dict(found or {})


def _controlled(*arguments: str, document: str | None = None) -> str:
    done = subprocess.run(  # noqa: S603 - an administrator's program, with definitions made here
        [control(), "--quiet", *arguments],
        check=False,
        input=document,
        capture_output=True,
        text=True,
        timeout=CONTROL_TIMEOUT,
    )
    if done.returncode:
        raise Misconfigured(
            "rabbitmqctl refused the definitions. It needs root or the server's own account; without, name the "
            f"management API: ADMINISTRATOR_URL={management_api.FORM}\n{complaint(done)}"
        )
    return done.stdout


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The last lines that rabbitmqctl printed when it failed."""
    lines = [*done.stderr.splitlines(), *done.stdout.splitlines()]
    # Debian's rabbitmqctl prints this line after pages of other text, and to the other stream.
    refused = [line for line in lines if line.startswith("Only root")]
    lines = refused or [line for line in (done.stderr or done.stdout).splitlines() if line.strip()][-COMPLAINT_LINES:]
    return "\n".join(lines) or f"exit status {done.returncode}"


def missing_passwords(passwords: Mapping[str, str]) -> list[str]:
    """The variables that are not set although an installed module needs them."""
    return [password_variable(label) for label in modules.labels() if label not in passwords]
