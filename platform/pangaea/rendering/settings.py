"""docs/settings.md and .env.example, from the declared settings."""

from dataclasses import fields
from pathlib import Path

from pangaea.configuration.declared import Declared, variable
from pangaea.configuration.values import text_of

INTRODUCTION = """# Settings

Every environment variable that a process of Pangaea reads, rendered by `manage.py render` from
`platform/pangaea/configuration/declared.py`. A value may be given as a file instead:
`SECRET_KEY_FILE=/run/secrets/key`. Besides these, `<MODULE>_DATABASE_URL` (`ORDERS_DATABASE_URL`) gives one module a
database of its own, `DJANGO_SETTINGS_MODULE` chooses the profile, and `manage.py permissions` alone reads
`<MODULE>_BROKER_PASSWORD`.

A duration is a number and a unit, `500ms`, `30s`, `10m`, `2h` or `1d`; a bare number is seconds.

A process with one module reads `ORDERS_RELAY_BATCH` first, then `RELAY_BATCH`, then takes the default; so for all
settings that are not process-wide. `manage.py config show` prints every value in use and its source,
`manage.py config check` names everything that is missing, malformed or unsafe.

The `local` profile needs none of them. `monolith` and `service` refuse to start without `SECRET_KEY`, `ALLOWED_HOSTS`,
`BROKER_URL`, a database URL, and `SIGNING_KEY` or `JWKS_URL`; `service` also needs `PANGAEA_MODULES`.

| variable | default | kind | what for |
|---|---|---|---|
"""


def files(root: Path) -> dict[Path, str]:
    """Both files."""
    return {root / "docs" / "settings.md": document(), root / ".env.example": example()}


def document() -> str:
    """docs/settings.md: every variable in a table."""
    rows = []
    for each in fields(Declared):
        default = text_of(each.default)
        kinds = {"secret": each.metadata["secret"], "process-wide": not each.metadata["per_module"]}
        kind = ", ".join(name for name, applies in kinds.items() if applies)
        rows.append(f"| `{variable(each)}` | {default and f'`{default}`'} | {kind} | {each.metadata['why']} |\n")
    return INTRODUCTION + "".join(rows)


def example() -> str:
    """.env.example: every variable with its default, commented out."""
    blocks = [f"# {each.metadata['why']}\n# {variable(each)}={text_of(each.default)}\n" for each in fields(Declared)]
    return "# Rendered by `manage.py render`. The local profile needs none of these.\n\n" + "\n".join(blocks)
