"""TLS to the broker: certificate chain and host name are verified on every connection, for each host of a cluster.

By default kombu does not verify the host name over `amqps`, and verifies nothing over `rediss`.
"""

import ssl
from typing import Any

import kombu.transport
from kombu.transport import pyamqp

from pangaea.configuration.declared import Declared


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


# Registered by scheme: for a cluster's next host, kombu chooses the transport only by the scheme of the URL.
kombu.transport.TRANSPORT_ALIASES["amqps"] = f"{__name__}:Transport"


def options(declared: Declared) -> dict[str, Any] | None:
    """Celery's `broker_use_ssl` for BROKER_URL; None for a URL without TLS."""
    authorities = declared.broker_ca or None
    if declared.broker_url.startswith("amqps://"):
        return {"context": {"cafile": authorities}}
    if declared.broker_url.startswith("rediss://"):
        return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, "ssl_ca_certs": authorities}
    return None
