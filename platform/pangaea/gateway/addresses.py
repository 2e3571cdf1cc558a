"""HOST:PORT."""

import ipaddress
from dataclasses import dataclass
from typing import Self

from pangaea.errors import Misconfigured

LAST_PORT = 65535


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A host name or IP address, and a TCP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, what: str) -> Self:
        """`HOST:PORT`, an IPv6 address in brackets. Raises Misconfigured, naming `what`, for anything else."""
        host, colon, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (colon and host and port.isascii() and port.isdecimal() and 0 < int(port) <= LAST_PORT):
            raise Misconfigured(f"{what} is {text!r}; it must be HOST:PORT, like 127.0.0.1:8080.")
        return cls(host=host, port=int(port))

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address, which needs no DNS lookup."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
