"""The address of a document or an API over HTTP."""

from dataclasses import dataclass, field

from pangaea.addresses import url
from pangaea.errors import Misconfigured

SCHEMES = ("http", "https")


@dataclass(frozen=True, kw_only=True)
class Http:
    """A host, a path there, and a login if there is one."""

    scheme: str
    host: str
    port: int | None
    path: str
    """With its query, if it has one. It begins with a slash, and is escaped."""
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def is_secured(self) -> bool:
        return self.scheme == "https"

    @property
    def location(self) -> str:
        """The host and the port, as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host

    @property
    def text(self) -> str:
        """The URL, without the login."""
        return f"{self.scheme}://{self.location}{self.path}"


def parse(text: str, *, example: str, login: bool = False) -> Http:
    """The address that a URL names. With `login` it has a user and a password, else none. Raises Misconfigured."""
    try:
        return _parse(text, example=example, login=login)
    except Misconfigured as error:
        problem = str(error)
    raise Misconfigured(problem if example in problem else f"{problem} Set a URL like {example}.")


def _parse(text: str, *, example: str, login: bool) -> Http:
    if not text.isascii():
        raise Misconfigured("has letters beyond ASCII: write a host as xn--…, and other letters as %XX.")
    parts = url.split(text, schemes=SCHEMES, example=example)
    (host, port), *others = parts.hosts
    if others or not url.is_host(host):
        raise Misconfigured("is malformed: it names no host, or one that cannot be.")
    if login and (not parts.user or parts.password is None):
        raise Misconfigured("names no user and password.")
    if not login and (parts.user or parts.password is not None):
        raise Misconfigured("has a user or a password, which is not sent: set it without.")
    if login and parts.query:
        raise Misconfigured("has a query: set it without.")
    return Http(
        scheme=parts.scheme,
        host=host,
        port=int(port) if port else None,
        path=f"/{parts.path}{'?' if parts.query else ''}{parts.query}",
        user=parts.user,
        password=parts.password or "",
    )
