"""TLS before a server without it, and certificates for any names that a test needs."""

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pangaea.credentials.certificates import Subject, issue

CHUNK = 65_536
SHUTDOWN_SECONDS = 0.1
"""The wait for a client to close its side; a client that refused the certificate never does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(Subject):
    """A server with just these names; those that are IP addresses are certified as such."""

    identity: None = None
    usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.SERVER_AUTH,)

    @property
    def alternative_names(self) -> x509.SubjectAlternativeName:
        return x509.SubjectAlternativeName([_general_name(each) for each in self.hosts])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def certificates(folder: Path, **servers: tuple[str, ...]) -> Path:
    """Make `ca.crt`, and for each server `<server>.crt` and `.key` with its names, in this folder."""
    wanted = [Server(name=name, hosts=hosts) for name, hosts in servers.items()]
    issue(folder, wanted, trust_domain="servers.test")
    return folder


@contextmanager
def before(url: str, default_port: int, *, certificate: Path) -> Iterator[int]:
    """Hold TLS before the server of that URL, at the loopback address. Yields the port."""
    address = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    context.set_alpn_protocols(["postgresql"])  # the protocol that libpq names where a connection begins with TLS
    loop = asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = await asyncio.open_connection(address.hostname, address.port or default_port)
        with suppress(asyncio.CancelledError):  # at the end of the block; asyncio would report it as a failure
            await asyncio.gather(_copy(reader, server[1]), _copy(server[0], writer))

    listening = asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, ssl_shutdown_timeout=SHUTDOWN_SECONDS)
    front = loop.run_until_complete(listening)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield front.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_end(front), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # one end is closed; the other is closed next
    finally:
        writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()


async def _end(front: asyncio.Server) -> None:
    front.close()
    serving = asyncio.all_tasks() - {asyncio.current_task()}
    for each in serving:
        each.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
