"""The parts of a URL, decoded (RFC 3986), for all schemes.

A password with an unquoted `/`, `?`, `#` or `%` is refused: libraries would take a part of it for a host, a path or a
parameter, and quote it in their errors.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import unquote

from pangaea.errors import Misconfigured

MAX_PORT = 65_535
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_AUTHORITY = re.compile(r"[^/?]*")
_HOST = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]*))?")
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")
_QUOTED = "in a user, a password or a name write %2F for /, %3F for ?, %23 for #, %40 for @, %25 for %"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A URL's parts. All are decoded, except `path` and `query`."""

    scheme: str
    user: str
    password: str | None = field(repr=False)
    hosts: tuple[tuple[str, str], ...]
    """Hosts and ports. An IPv6 address has no brackets. A missing host or port is an empty text."""
    path: str
    """Without its first slash."""
    query: str


def split(text: str, *, schemes: Iterable[str], example: str) -> Parts:
    """The parts of a URL of one of these schemes. Raises Misconfigured."""
    malformed = f"is malformed: set a URL like {example}."
    scheme, separator, rest = text.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise Misconfigured(malformed)
    if scheme not in schemes:
        if scheme.lower() in schemes:
            raise Misconfigured(f"has a scheme in capitals: set it in small letters, like {example}.")
        raise Misconfigured(f"has another scheme than {', '.join(f'{each}://' for each in schemes)}: {malformed[14:]}")
    _refuse_unquoted(rest)
    authority = _AUTHORITY.match(rest)[0]  # type: ignore[index] # it matches an empty text too
    if "@" in rest[len(authority) :]:
        raise Misconfigured(f"has an @ after the first / or ?: {_QUOTED}.")
    path, _, query = rest[len(authority) :].partition("?")
    login, _, servers = authority.rpartition("@")
    user, has_password, password = login.partition(":")
    return Parts(
        scheme=scheme,
        user=decoded(user),
        password=decoded(password) if has_password else None,
        hosts=tuple(_host(each, malformed) for each in servers.split(",")),
        path=path.removeprefix("/"),
        query=query,
    )


def decoded(text: str) -> str:
    """The text with its escapes (%2F) replaced. Raises Misconfigured."""
    try:
        found = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Misconfigured("has escapes (%XX) that are not UTF-8: escape the bytes of UTF-8.") from None
    if any(ord(each) < ord(" ") or each == "\x7f" for each in found):
        raise Misconfigured("has an escaped control character (like %00 or %0A): set it without.")
    return found


def parameters_of(query: str) -> dict[str, str]:
    """The parameters of a query, decoded. Raises Misconfigured."""
    found: dict[str, str] = {}
    for each in query.split("&") if query else ():
        raw_name, separator, raw_value = each.partition("=")
        name = decoded(raw_name)
        shown = parameter_name(name)
        if not separator or not name:
            raise Misconfigured(f"has {shown} without a value in its query: write it as name=value.")
        if "+" in raw_value:
            raise Misconfigured(f"has a + in {shown}: write %20 for a space, and %2B for a plus sign.")
        if name in found:
            raise Misconfigured(f"has {shown} twice in its query: set it once.")
        found[name] = decoded(raw_value)
    return found


def refuse_parameters(parameters: Iterable[str], *, remedy: str) -> None:
    """Raise Misconfigured with the name of the first parameter, and the remedy."""
    for name in parameters:
        raise Misconfigured(f"has {parameter_name(name)} in its query: {remedy}.")


def parameter_name(name: str) -> str:
    """The name of a parameter as an error may show it: what does not look like a name may be part of a password."""
    return name if _PARAMETER.fullmatch(name) else "an unknown parameter"


def port_problem(text: str) -> str:
    """What is wrong with a port; empty for a valid or a missing one."""
    is_valid = not text or (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= MAX_PORT)
    return "" if is_valid else f"is malformed: its port is a number from 1 to {MAX_PORT}."


def is_host(text: str) -> bool:
    """Whether the text is an address or a host name that a resolver accepts. Other letters than ASCII's: as xn--."""
    return is_address(text) or (len(text) <= 253 and bool(_NAME.fullmatch(text)))  # noqa: PLR2004 - RFC 1035's limit


def is_address(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address, without brackets."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _refuse_unquoted(rest: str) -> None:
    if re.search(r"%(?![0-9A-Fa-f]{2})", rest):
        raise Misconfigured(f"has a % without two hexadecimal digits after it: {_QUOTED}.")
    if "#" in rest:
        raise Misconfigured(f"has a #: {_QUOTED}.")
    if any(each.isspace() or not each.isprintable() for each in rest):
        raise Misconfigured("has a space, a line break or an invisible character: remove it, or write a space as %20.")


def _host(text: str, malformed: str) -> tuple[str, str]:
    found = _HOST.fullmatch(text)
    if not found:
        raise Misconfigured(malformed)
    host, port = decoded(found["host"]), found["port"] or ""
    if problem := port_problem(port):
        raise Misconfigured(problem)
    if host.startswith("["):
        host = host[1:-1]
        if not is_address(host) or ":" not in host:
            raise Misconfigured("is malformed: in the brackets is no IPv6 address, like [::1].")
    return host, port
