"""Commands whose `--database` must be the one that has the app's tables: elsewhere they would do nothing in silence."""

from collections.abc import Iterable

from django.core.management.base import CommandError

from pangaea.databases import aliases


def refuse_elsewhere(alias: str, labels: Iterable[str]) -> None:
    """Raise CommandError, with the right alias, if the tables of one of these apps are not in this alias."""
    for label in labels:
        if label not in aliases.apps_of(alias):
            raise CommandError(elsewhere(label, alias))


def elsewhere(label: str, alias: str | None) -> str:
    """Where the tables of the app are, for an alias that has none of them."""
    homes = [each for each in aliases.installed() if label in aliases.apps_of(each)]
    if not homes:
        return f"No installed app with label {label!r}."
    return f"The tables of {label!r} are not in {alias!r} but in {', '.join(homes)}: use --database={homes[0]}."
