"""What runserver prints in the local profile: where everything is, and one walk to copy and paste."""

from pangaea import modules
from pangaea.management.commands.seed_demo import OPERATOR, PASSWORD


def welcome(url: str) -> str:
    """The addresses, and a `curl` walk through the installed modules."""
    walk = [line for module in modules.upstream_first() for line in module.walk]
    lines = [
        "",
        f"  API docs   {url}/api/docs/",
        f"  Admin      {url}/admin/   ({OPERATOR} / {PASSWORD})",
        f"  Health     {url}/readyz",
        "",
        "  A walk, to copy and paste into another terminal:",
        "",
        *(f"    {line}" for line in [f"URL={url}", *walk]),
        "",
    ]
    return "\n".join(lines)
