"""HOST:PORT."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

from pangaea.addresses.url import MAX_PORT, is_address, is_host
from pangaea.errors import Misconfigured

_PARTS = re.compile(r"(?:\[(?P<six>[^\[\]%]+)\]|(?P<host>[^\[\]:]+)):(?P<port>[0-9]{1,5})")
_LIKE_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
"""A name that resolvers take for an IPv4 address, by several rules (WHATWG URL, 3.5)."""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A host name or IP address, and a TCP port. An IPv6 address has its shortest form (RFC 5952), without brackets."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, what: str) -> Self:
        """`HOST:PORT`, an IPv6 address in brackets. Raises Misconfigured, naming `what`, for anything else."""
        parts = _PARTS.fullmatch(text)
        if not parts or not 0 < int(parts["port"]) <= MAX_PORT:
            raise Misconfigured(
                f"{what} is {text!r}; it must be HOST:PORT, like 127.0.0.1:8080, or [::1]:8080 for an IPv6 address."
            )
        host = parts["six"] or parts["host"]
        if parts["six"] and not (is_address(host) and ":" in host):
            raise Misconfigured(f"{what} is {text!r}, in which the brackets hold no IPv6 address, like [::1].")
        if is_address(host):
            return cls(host=str(ipaddress.ip_address(host)), port=int(parts["port"]))
        if not is_host(host) or _LIKE_A_NUMBER.fullmatch(host):
            raise Misconfigured(f"{what} is {text!r}, in which {host!r} is neither an IP address nor a host name.")
        return cls(host=host, port=int(parts["port"]))

    @classmethod
    def parse_listener(cls, text: str, *, what: str) -> Self:
        """An address to listen at: an IP address. Raises Misconfigured, naming `what`, for anything else."""
        address = cls.parse(text, what=what)
        if not address.is_literal:
            raise Misconfigured(
                f"{what} is {text!r}; Envoy listens at an IP address: 127.0.0.1 or [::1] for this machine alone, "
                "[::] for every address."
            )
        return address

    @classmethod
    def parse_destination(cls, text: str, *, what: str) -> Self:
        """An address to send requests to: a name, or the IP address of one host. Raises Misconfigured, as `parse`."""
        address = cls.parse(text, what=what)
        if address.is_wildcard:
            raise Misconfigured(f"{what} is {text!r}, which is an address to listen at; give the one of a host.")
        return address

    @classmethod
    def is_url_host(cls, text: str) -> bool:
        """Whether the text is a host as in a URL, without a port."""
        try:
            cls.parse(f"{text}:80", what="")
        except Misconfigured:
            return False
        return True

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address, which needs no DNS lookup."""
        return is_address(self.host)

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for every address of the machine: to listen at, not to send to."""
        return self.is_literal and ipaddress.ip_address(self.host).is_unspecified

    @property
    def url_host(self) -> str:
        """The host as in a URL: an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.url_host}:{self.port}"
