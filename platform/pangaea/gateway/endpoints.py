"""The addresses of a module's instances: files that Envoy reloads when they change (file-based EDS).

One file per module, `<module>.yaml`, in a folder that Envoy watches for files moved into it. So a file is never written
in place: its replacement is written beside it and moved over it, and Envoy never reads a partial file.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pangaea.errors import Misconfigured
from pangaea.gateway.addresses import Address
from pangaea.reloading import locked, write_atomically

ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The instances of one module, in a folder. Safe for several processes at once.

    The methods raise Misconfigured for a host name, which Envoy does not look up in such a file, and for a file with
    other content.
    """

    directory: Path
    module: str

    @property
    def file(self) -> Path:
        """The file that Envoy reads."""
        return self.directory / f"{self.module}.yaml"

    def list(self) -> list[Address]:
        """The addresses, ordered; none where there is no file."""
        try:
            document = yaml.safe_load(self.file.read_text(encoding="utf-8"))
            return sorted(_addresses(document))
        except FileNotFoundError:
            return []
        except (yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError, ValueError) as error:
            raise Misconfigured(
                f"{self.file} is not a list of endpoints ({error}). Remove it and add the endpoints again."
            ) from error

    def add(self, address: Address) -> bool:
        """Let the gateway send requests to the address once it is ready. False if the file has it already."""
        _refuse_name(address)
        with self._locked():
            known = self.list()
            if address in known:
                return False
            self._replace([*known, address])
            return True

    def remove(self, address: Address) -> bool:
        """Let the gateway send no more requests to the address. False if the file lacks it.

        A module without addresses is down.
        """
        with self._locked():
            known = self.list()
            if address not in known:
                return False
            self._replace([each for each in known if each != address])
            return True

    def set(self, addresses: Iterable[Address]) -> None:
        """Let the gateway use these addresses and no others.

        There may be none; the file is written nevertheless, because Envoy does not start without it.
        """
        wanted = frozenset(addresses)
        for each in wanted:
            _refuse_name(each)
        with self._locked():
            self._replace(wanted)

    def _replace(self, addresses: Iterable[Address]) -> None:
        text = yaml.safe_dump(_document(self.module, sorted(addresses)), sort_keys=False)
        # The file has no secret, and Envoy may run as another user.
        write_atomically(self.file, text.encode(), mode=0o644)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Admit one writer at a time, so that no concurrent addition is lost."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked(self.directory):
            yield


def _refuse_name(address: Address) -> None:
    if not address.is_literal:
        raise Misconfigured(
            f"{address} has a host name; a file of endpoints takes IP addresses, like 127.0.0.1:8101. "
            "For names, give the module an upstream in topologies.toml."
        )


def _document(module: str, addresses: list[Address]) -> dict[str, Any]:
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": each.host, "port_value": each.port}}}}
        for each in addresses
    ]
    return {
        "resources": [{"@type": ASSIGNMENT, "cluster_name": module, "endpoints": [{"lb_endpoints": endpoints}]}],
    }


def _addresses(document: Any) -> Iterator[Address]:
    (assignment,) = document["resources"]
    for locality in assignment["endpoints"]:
        for each in locality["lb_endpoints"]:
            address = each["endpoint"]["address"]["socket_address"]
            yield Address(host=str(address["address"]), port=int(address["port_value"]))
