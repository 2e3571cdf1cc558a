"""What is printed when the shop is up: where everything is, and one walk to copy and paste."""

from pangaea import modules

OPERATOR = "operator"
PASSWORD = "pangaea-local"  # noqa: S105 - only where the profile is local, on loopback


def walk(url: str) -> list[str]:
    """Shell lines that lead through the installed modules at this address."""
    return [f"URL={url}", *(line for module in modules.upstream_first() for line in module.walk)]


def welcome(places: list[tuple[str, str]], url: str) -> str:
    """Named places, and the walk."""
    width = max(len(name) for name, _ in places)
    lines = [
        "",
        *(f"  {name:<{width}}   {place}" for name, place in places),
        "",
        "  A walk, to copy and paste into another terminal:",
        "",
        *(f"    {line}" for line in walk(url)),
        "",
    ]
    return "\n".join(lines)


def welcome_to_local(url: str) -> str:
    """For the local profile, whose credentials are known to everybody."""
    places = [
        ("API docs", f"{url}/api/docs/"),
        ("Admin", f"{url}/admin/   ({OPERATOR} / {PASSWORD})"),
        ("Health", f"{url}/readyz"),
    ]
    return welcome(places, url)
