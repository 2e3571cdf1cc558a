"""What RabbitMQ has, compared with the definitions that the modules' declarations give."""

from collections.abc import Iterator, Mapping
from typing import Any

Definitions = Mapping[str, Any]


def differences(wanted: Definitions, present: Definitions) -> list[str]:
    """Each difference as a sentence: the exchange, and the users with their tags, permissions and topic permissions.

    Passwords cannot be compared. Other users, other virtual hosts and other exchanges are not examined.
    """
    found = [*of_exchanges(wanted, present), *_of_users(wanted, present)]
    for section, keys, names in (
        ("permissions", ("user", "vhost"), ("configure", "write", "read")),
        ("topic_permissions", ("user", "vhost", "exchange"), ("write", "read")),
    ):
        for right in wanted[section]:
            found += _of_right(right, _matching(present, section, right, keys), section.replace("_", " "), names)
    return found


def of_exchanges(wanted: Definitions, present: Definitions) -> Iterator[str]:
    """The differences of exchanges that exist. An import of definitions leaves these unchanged."""
    for exchange in wanted["exchanges"]:
        for found in _matching(present, "exchanges", exchange, ("name", "vhost")):
            for name in ("type", "durable", "auto_delete", "internal"):
                if (value := found.get(name, exchange[name])) != exchange[name]:
                    yield (
                        f"The exchange {exchange['name']} has {name} {value!r} instead of {exchange[name]!r}, so "
                        "messages reach the wrong queues or none: delete it, and apply again."
                    )


def _of_users(wanted: Definitions, present: Definitions) -> Iterator[str]:
    for user in wanted["users"]:
        found = _matching(present, "users", user, ("name",))
        if not found:
            yield f"There is no user {user['name']}."
        for tags in (each.get("tags") for each in found):
            if tags:
                text = tags if isinstance(tags, str) else ", ".join(tags)
                yield f"The user {user['name']} has tags that no module needs: {text}."


def _of_right(right: Definitions, found: list[Definitions], what: str, names: tuple[str, ...]) -> Iterator[str]:
    if not found:
        yield f"The user {right['user']} has no {what} in {right['vhost']}."
    for each in found:
        for name in names:
            if each[name] != right[name]:
                yield f"The {what} of {right['user']} to {name} are {each[name]!r} instead of {right[name]!r}."


def _matching(present: Definitions, section: str, item: Definitions, keys: tuple[str, ...]) -> list[Definitions]:
    return [each for each in present.get(section, ()) if all(each.get(key) == item[key] for key in keys)]
