"""TLS between services, where both sides show a certificate (RFC 8446; X.509-SVID of SPIFFE for the names).

The files are read again when they change, for the next handshake: a rotation needs no restart and breaks no connection.
"""

import http.client
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pangaea.credentials import spiffe
from pangaea.errors import Misconfigured
from pangaea.reloading import Reloading

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption, which all suites of TLS 1.3 have."""
HANDSHAKE_SECONDS = 5.0
"""The time limit of a handshake: a peer that sends half a hello must not hold a thread."""


@dataclass(frozen=True, slots=True)
class Files:
    """A certificate chain, its key, and the trusted authorities: PEM, no passphrase."""

    certificate: Path
    key: Path
    authorities: Path

    def load_into(self, context: ssl.SSLContext) -> None:
        """Load these files into the context, and make it require TLS 1.2 or later and verify the peer.

        Raises OSError (ssl.SSLError is one) for files that are missing, damaged or do not match.
        """
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cafile=self.authorities)
        # Without a password OpenSSL would ask for one at the terminal.
        context.load_cert_chain(self.certificate, self.key, password="")
        # A resumed session would outlive the certificates that it was made with.
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION


class PeerSocket(ssl.SSLSocket):
    """A TLS connection with the identity of its peer."""

    @cached_property
    def identity(self) -> str | None:
        """The SPIFFE id in the peer's certificate, read once per connection; None if it has none."""
        return spiffe.of_certificate(self.getpeercert())


class _ClientSideSocket(PeerSocket):
    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the standard library's signature
        """Shake hands within HANDSHAKE_SECONDS.

        Raises ssl.SSLError for a refused peer, OSError for a lost connection.
        """
        before = self.gettimeout()
        self.settimeout(HANDSHAKE_SECONDS)
        super().do_handshake(block)
        self.settimeout(before)


def reloading(files: Files, make: Callable[[Files], ssl.SSLContext]) -> Reloading[ssl.SSLContext]:
    """The context for the next handshake, made again when a file changes.

    Its `current()` raises Misconfigured until the files have been read once.
    """

    def read() -> ssl.SSLContext:
        try:
            return make(files)
        except OSError as error:
            raise Misconfigured(
                f"The certificate {files.certificate}, its key {files.key} or the authorities {files.authorities} "
                f"cannot be used ({error}). Set TLS_CERTIFICATE, TLS_KEY and TLS_CA to readable PEM files that belong "
                "together; for development, `manage.py certs` makes them."
            ) from error

    return Reloading((files.certificate, files.key, files.authorities), read, what="certificates")


def server_context(files: Files) -> ssl.SSLContext:
    """The context of a server whose callers must show a certificate of these authorities.

    PeerSocket.identity names the caller.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files.load_into(context)
    context.num_tickets = 0
    context.sslsocket_class = PeerSocket
    return context


def client_context(files: Files) -> ssl.SSLContext:
    """The context of a client that shows its own certificate. It verifies no host names: check the peer's SPIFFE id."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    files.load_into(context)
    context.sslsocket_class = _ClientSideSocket
    return context


class PeerHandler(urllib.request.HTTPSHandler):
    """Opens https URLs of the service with this SPIFFE id, at any host name."""

    def __init__(self, files: Files, identity: str) -> None:
        super().__init__()
        self._context_for_next = reloading(files, client_context)
        self._identity = identity

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Send the request once the peer has proved its identity. Raises OSError for a peer of another identity."""

        def connect(host: str, **options: Any) -> http.client.HTTPSConnection:
            return _PeerConnection(
                host, identity=self._identity, **{**options, "context": self._context_for_next.current()}
            )

        return self.do_open(connect, req)


class _PeerConnection(http.client.HTTPSConnection):
    def __init__(self, host: str, *, identity: str, **options: Any) -> None:
        super().__init__(host, **options)
        self._identity = identity

    def connect(self) -> None:
        super().connect()
        found = self.sock.identity if isinstance(self.sock, PeerSocket) else None
        if found != self._identity:
            self.close()
            raise ssl.SSLCertVerificationError(f"{self.host} is {found or 'an unknown peer'}, not {self._identity}")
