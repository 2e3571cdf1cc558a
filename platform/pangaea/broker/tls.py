"""TLS to the broker: certificate chain and host name are verified on every connection, for each host of a cluster.

By default kombu does not verify the host name over `amqps`, and verifies nothing over `rediss`.
"""

import ssl
from typing import Any

from kombu.transport import pyamqp

from pangaea.addresses.broker import Broker


class Transport(pyamqp.SSLTransport):
    """RabbitMQ over TLS. The certificate must name the host of the URL in use."""

    def establish_connection(self) -> Any:
        """Connect. Raises ssl.SSLCertVerificationError, an OSError, if the certificate does not name the host."""
        client: Any = self.client
        hostname = client.hostname or "localhost"
        options = client.ssl if isinstance(client.ssl, dict) else {}
        # Set for each connection: with several hosts kombu would expect the first host's name at all of them.
        client.ssl = {**options, "server_hostname": hostname}
        client.ssl["context"] = {"cafile": None, **options.get("context", {}), "check_hostname": True}
        try:
            return super().establish_connection()  # type: ignore[no-untyped-call]
        finally:
            # kombu replaces `localhost` by its address, which the next attempt would expect in the certificate.
            client.hostname = hostname


TRANSPORTS = {"amqps": f"{__name__}:Transport"}
"""The transports for kombu, by scheme."""


def options(address: Broker, authorities: str) -> dict[str, Any] | None:
    """Celery's `broker_use_ssl` for this broker; None without TLS. `authorities` is a file; empty: the system's."""
    if not address.has_tls:
        return None
    if address.is_rabbitmq:
        return {"context": {"cafile": authorities or None}}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, "ssl_ca_certs": authorities or None}
