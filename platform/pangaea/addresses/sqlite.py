"""The address of an SQLite database: a file, for the profiles that are not deployed."""

from pathlib import Path
from urllib.parse import quote

from pangaea.addresses import url
from pangaea.errors import Misconfigured

PREFIX = "sqlite://"
IN_MEMORY = "sqlite://:memory:"


def url_of(path: Path) -> str:
    """The URL of a file."""
    return f"{PREFIX}/{quote(str(path))}"


def parse(text: str) -> str:
    """The path of the file that a URL names, or `:memory:`. Raises Misconfigured."""
    if text == IN_MEMORY:
        return ":memory:"
    path = text.removeprefix(f"{PREFIX}/")
    if path == text or not path:
        raise Misconfigured("is malformed: set a URL like sqlite:////folder/file.sqlite3.")
    return url.decoded(path)
