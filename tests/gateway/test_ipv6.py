import socket
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from pangaea import gateway
from tests.gateway.edge import Service, declare, envoy, public


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
