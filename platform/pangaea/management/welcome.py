"""The text that is printed once everything is ready: addresses, and a walk-through to copy and paste."""

from pangaea import modules
from pangaea.pages import start


def walk(url: str) -> list[str]:
    """Shell commands that try the installed modules at this address."""
    return [f"URL={url}", *start.walk(modules.installed())]


def welcome(addresses: list[tuple[str, str]], url: str) -> str:
    """Named addresses, and the walk-through."""
    width = max(len(name) for name, _ in addresses)
    lines = [
        "",
        *(f"  {name:<{width}}   {address}" for name, address in addresses),
        "",
        "  A walk, to copy and paste into another terminal:",
        "",
        *(f"    {line}" for line in walk(url)),
        "",
    ]
    return "\n".join(lines)


def welcome_to_local(url: str) -> str:
    """The text for the local profile, whose credentials are public."""
    addresses = [
        ("Start page", f"{url}/"),
        ("API docs", f"{url}/api/docs/"),
        ("Admin", f"{url}/admin/   ({start.OPERATOR} / {start.PASSWORD})"),
        ("Health", f"{url}/readyz"),
    ]
    return welcome(addresses, url)
