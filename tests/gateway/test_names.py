"""Modules that are found by name (DNS), as in Kubernetes."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUDPServer

import httpx
import pytest

from pangaea import gateway
from pangaea.testing import wait_until
from tests.gateway.edge import CONF, HOST, Service, declare, envoy, public

A_RECORD = 1
OTHERS = ("127.0.0.2", "127.0.0.3")


class TestNames:
    def test_are_looked_up_and_their_instances_are_checked_for_readiness(self, tmp_path: Path) -> None:
        """The name is localhost, with an IPv4 and an IPv6 address; the service listens on IPv4."""
        with closing(Service("local")) as service:
            port = service.server.server_port
            with (
                envoy(tmp_path, [declare("localhost", public("/shop"))], upstream=f"{{module}}:{port}") as edge,
                httpx.Client(base_url=edge.url, timeout=20, trust_env=False) as client,
            ):
                edge.wait_for("/shop")
                assert edge.healthy("localhost") == [service.address]

                service.ready = False
                wait_until(lambda: client.get("/shop").status_code == 503, what="it to be taken out", seconds=30)
                service.ready = True
                wait_until(lambda: client.get("/shop").status_code == 200, what="it to be taken back", seconds=30)

    def test_are_looked_up_again_and_only_current_addresses_get_requests(self, tmp_path: Path) -> None:
        with ExitStack() as held:
            first, second = instances(held)
            names = held.enter_context(name_server())
            names.addresses = [OTHERS[0]]
            edge = held.enter_context(
                envoy(
                    tmp_path,
                    [declare("web_shop", public("/shop"))],
                    template=asking(names),
                    upstream=f"{{module}}.example:{first.server.server_port}",
                )
            )
            client = held.enter_context(httpx.Client(base_url=edge.url, timeout=20, trust_env=False))

            def answer() -> set[str]:
                return {client.get("/shop").json().get("service", "none") for _ in range(20)}

            wait_until(lambda: answer() == {"first"}, what="the first to be used", seconds=30)
            assert names.asked == {"web-shop.example"}

            names.addresses = list(OTHERS)
            wait_until(lambda: answer() == {"first", "second"}, what="both to be used", seconds=30)
            second.ready = False
            wait_until(lambda: answer() == {"first"}, what="the second to be taken out", seconds=30)
            second.ready = True
            names.addresses = [OTHERS[1]]
            wait_until(lambda: answer() == {"second"}, what="the first to be used no more", seconds=30)
            assert first.ready


class NameServer:
    """A name server that gives every name the same IPv4 addresses (RFC 1035)."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.asked: set[str] = set()
        names = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                query, connection = self.request
                connection.sendto(names.answer(query), self.client_address)

        self.server = ThreadingUDPServer((HOST, 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self.server.server_address[1]
        return port

    def answer(self, query: bytes) -> bytes:
        """The response: the question, and one record per address, whose name refers back to the question's."""
        end = query.index(b"\0", 12)
        question = query[12 : end + 5]
        labels, rest = [], query[12:end]
        while rest:
            labels.append(rest[1 : rest[0] + 1].decode())
            rest = rest[rest[0] + 1 :]
        self.asked.add(".".join(labels).lower())
        (kind,) = struct.unpack("!H", question[-4:-2])
        found = [socket.inet_aton(each) for each in self.addresses] if kind == A_RECORD else []
        records = [b"\xc0\x0c" + struct.pack("!HHIH", A_RECORD, 1, 0, len(each)) + each for each in found]
        return query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found), 0, 0) + question + b"".join(records)


@contextmanager
def name_server() -> Iterator[NameServer]:
    names = NameServer()
    try:
        yield names
    finally:
        names.server.shutdown()
        names.server.server_close()


def instances(held: ExitStack) -> tuple[Service, Service]:
    """Two services on different addresses with the same port, since a name gives addresses only."""
    try:
        first = held.enter_context(closing(Service("first", host=OTHERS[0])))
    except OSError:
        pytest.skip("this machine has one loopback address alone")
    return first, held.enter_context(closing(Service("second", host=OTHERS[1], port=first.server.server_port)))


def asking(names: NameServer) -> gateway.Template:
    """The template with this name server instead of the machine's, queried often."""
    template = gateway.template(CONF)
    template["cluster_static"].update(
        dns_refresh_rate="0.2s",
        typed_dns_resolver_config={
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [{"socket_address": {"address": HOST, "port_value": names.port}}],
                "dns_resolver_options": {"no_default_search_domain": True},
            },
        },
    )
    return template
