import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

from pangaea import gateway
from pangaea.modules import RateLimit
from tests.gateway.edge import CONF, HOST, Edge, Service, declare, envoy, public


class TestIpv6:
    def test_is_served_beside_ipv4_and_reaches_services(self, tmp_path: Path) -> None:
        """The addresses of a module's instances are in a file, one of them with IPv6."""
        if not socket.has_ipv6:
            pytest.skip("this machine has no IPv6")
        endpoints = tmp_path / "endpoints"
        with closing(Service("shop", host="::1")) as shop:
            gateway.Endpoints(endpoints, "shop").set([gateway.Address.parse_destination(shop.address, what="shop")])
            (tmp_path / "edge").mkdir()
            with envoy(
                tmp_path / "edge", [declare("shop", public("/shop"))], host="[::]", endpoints=str(endpoints)
            ) as edge:
                edge.wait_for("/shop")
                answers = [
                    httpx.get(f"http://{host}:{edge.port}/shop", timeout=20, trust_env=False)
                    for host in ("127.0.0.1", "[::1]")
                ]

        assert [each.json()["service"] for each in answers] == ["shop", "shop"]
        # The address that the service counts failed log-ins by is the client's own, also when it has IPv4.
        assert [each.json()["headers"]["x-envoy-external-address"] for each in answers] == ["127.0.0.1", "::1"]


class TestARateLimit:
    """Its clients are those of the connections' addresses, which the PROXY protocol names here."""

    def test_is_one_for_the_addresses_of_an_ipv6_network(self, edge: Edge) -> None:
        log_ins = [status(edge, "/shop/log-in", client=f"2001:db8:0:1::{number:x}") for number in range(1, 61)]
        one_more = status(edge, "/shop/log-in", client="2001:db8:0:1:ffff:ffff:ffff:ffff")
        others = [status(edge, "/shop/log-in", client=f"2001:db8:0:{number}::1") for number in (2, 3)]

        assert (set(log_ins), one_more) == ({200}, 429)
        assert others == [200, 200]

    def test_is_one_per_ipv4_address(self, edge: Edge) -> None:
        first = [status(edge, "/shop/till", client="192.0.2.1") for _ in range(3)]
        second = [status(edge, "/shop/till", client="192.0.2.2") for _ in range(3)]

        assert first == second == [200, 200, 429]

    def test_takes_an_ipv4_address_for_one_also_where_ipv6_is_listened_at(self, shop: Service, tmp_path: Path) -> None:
        if not socket.has_ipv6:
            pytest.skip("this machine has no IPv6")
        till = public("/shop/till", rate_limit=RateLimit(requests=2, per=timedelta(hours=1)))
        with envoy(
            tmp_path, [declare("shop", public("/shop"), till)], host="[::]", upstreams={"shop": shop.address}
        ) as edge:
            edge.wait_for("/shop")
            answers = {source: [from_address(edge, source) for _ in range(3)] for source in ("127.0.0.2", "127.0.0.3")}

        assert answers == {"127.0.0.2": [200, 200, 429], "127.0.0.3": [200, 200, 429]}


def from_address(edge: Edge, source: str) -> int:
    with httpx.Client(transport=httpx.HTTPTransport(local_address=source), timeout=20) as client:
        return client.get(f"{edge.url}/shop/till").status_code


def status(edge: Edge, path: str, *, client: str) -> int:
    """The status of the answer to a client with this address."""
    version, server = ("TCP6", "::1") if ":" in client else ("TCP4", HOST)
    with socket.create_connection((HOST, edge.port), timeout=20) as connection:
        connection.sendall(f"PROXY {version} {client} {server} 50000 80\r\n".encode())
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status


@pytest.fixture(scope="module")
def edge(shop: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """The committed policy, behind a listener that takes the clients' addresses from the PROXY protocol."""
    template = dict(gateway.template(CONF))
    proxied = {
        "name": "envoy.filters.listener.proxy_protocol",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
            "allow_requests_without_proxy_protocol": True,
        },
    }
    template["listener"] = {**template["listener"], "listener_filters": [proxied]}
    limits = {"/shop/log-in": 60, "/shop/till": 2}
    limited = [public(path, rate_limit=RateLimit(count, timedelta(hours=1))) for path, count in limits.items()]
    declared = [declare("shop", public("/shop"), *limited)]
    folder = tmp_path_factory.mktemp("networks")
    with envoy(folder, declared, template=template, upstreams={"shop": shop.address}) as edge:
        edge.wait_for("/shop")
        yield edge
