"""HOST:PORT, wherever the gateway's commands and topologies take it."""

from io import StringIO
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, call_command

from pangaea import gateway
from pangaea.errors import Misconfigured
from pangaea.gateway import Address

LISTEN = {"listen": "127.0.0.1:8080", "admin": "127.0.0.1:9901", "upstream": "{module}:8000"}


class TestAnAddress:
    @pytest.mark.parametrize(
        ("text", "host", "shown"),
        [
            ("127.0.0.1:8080", "127.0.0.1", "127.0.0.1:8080"),
            ("[::1]:8080", "::1", "[::1]:8080"),
            ("[::]:8080", "::", "[::]:8080"),
            ("[2001:DB8:0:0::1]:8080", "2001:db8::1", "[2001:db8::1]:8080"),
            ("web-bff.shop.example:8080", "web-bff.shop.example", "web-bff.shop.example:8080"),
            ("localhost:08080", "localhost", "localhost:8080"),
        ],
    )
    def test_is_read(self, text: str, host: str, shown: str) -> None:
        address = Address.parse(text, what="It")

        assert (address, str(address)) == (Address(host=host, port=8080), shown)

    @pytest.mark.parametrize(
        "text",
        [
            *("", "8080", ":8080", "[]:8080", "shop", "shop:", "shop:0", "shop:65536", "shop:http", "shop:\u0663"),
            *(
                "::1:8080",
                "::1",
                "[::1]",
                "[::1:8080",
                "::1]:8080",
                "[shop]:8080",
                "[127.0.0.1]:8080",
                "[fe80::1%lo]:8080",
            ),
            *("256.0.0.1:8080", "1.2.3:8080", "0x7f.1:8080", "127.0.0.01:8080", "http://shop:8080", "user@shop:8080"),
            *(" 127.0.0.1:8080", "shop :8080", "sh\u00f6p:8080", "-shop:8080", "shop..example:8080", "shop\n:8080"),
        ],
    )
    def test_is_refused_by_name_if_it_is_malformed(self, text: str) -> None:
        with pytest.raises(
            Misconfigured, match=r"^It is .*(must be HOST:PORT|no IPv6 address|neither an IP address nor)"
        ):
            Address.parse(text, what="It")

    def test_of_a_listener_is_an_ip_address(self) -> None:
        assert Address.parse_listener("[::]:80", what="It").is_wildcard
        with pytest.raises(Misconfigured, match=r"^It is 'localhost:80'; Envoy listens at an IP address"):
            Address.parse_listener("localhost:80", what="It")

    @pytest.mark.parametrize("text", ["0.0.0.0:80", "[::]:80"])
    def test_of_a_destination_is_one_host(self, text: str) -> None:
        assert not Address.parse_destination("[::1]:80", what="It").is_wildcard
        with pytest.raises(Misconfigured, match=r"^It is .*, which is an address to listen at"):
            Address.parse_destination(text, what="It")


class TestListeners:
    @pytest.mark.parametrize(
        ("listen", "host"),
        [
            ("[::]:8080", "localhost"),
            ("0.0.0.0:8080", "localhost"),
            ("[::1]:8080", "[::1]"),
            ("10.0.0.1:8080", "10.0.0.1"),
        ],
    )
    def test_name_services_by_a_host_that_a_url_can_have(self, listen: str, host: str) -> None:
        assert gateway.Topology.read("sample", LISTEN | {"listen": listen}).host_header == host

    def test_have_an_address_each(self) -> None:
        with pytest.raises(Misconfigured, match=r"'sample' both `listen` and `admin` are 127.0.0.1:8080"):
            gateway.Topology.read("sample", LISTEN | {"admin": "127.0.0.1:8080"})
        with pytest.raises(Misconfigured, match=r"both `admin` and `operators` are \[::1\]:81"):
            gateway.Topology.read("sample", LISTEN | {"admin": "[::1]:81", "operators": "[0::1]:81"})
        assert gateway.Topology.read("sample", LISTEN | {"operators": LISTEN["listen"]}).operators

    @pytest.mark.parametrize("host", ["http://shop.example", "shop.example:80", "a b", "[::1"])
    def test_refuse_a_host_that_is_none(self, host: str) -> None:
        with pytest.raises(Misconfigured, match="`host` of the topology 'sample'"):
            gateway.Topology.read("sample", LISTEN | {"host": host})


class TestTheOptionsOfConfigure:
    def test_take_ipv6(self, tmp_path: Path) -> None:
        options = ("--listen=[::]:8630", "--operators=[::1]:8631", "--admin=[::1]:8632", "--host=shop.example")
        rendered = yaml.safe_load(configure(*options, "--upstream=orders=[2001:db8::1]:8000"))

        listeners = {each["name"]: each["address"] for each in rendered["static_resources"]["listeners"]}
        assert listeners == {
            "edge": {"socket_address": {"address": "::", "port_value": 8630, "ipv4_compat": True}},
            "operators": {"socket_address": {"address": "::1", "port_value": 8631}},
        }
        assert rendered["admin"]["address"] == {"socket_address": {"address": "::1", "port_value": 8632}}
        clusters = {each["name"]: each for each in rendered["static_resources"]["clusters"]}
        (endpoints,) = clusters["orders"]["load_assignment"]["endpoints"]
        assert endpoints["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"] == "2001:db8::1"
        assert clusters["orders"]["health_checks"][0]["http_health_check"]["host"] == "shop.example"

    @pytest.mark.parametrize(
        ("option", "complaint"),
        [
            ("--listen=::1:80", "--listen is '::1:80'; it must be HOST:PORT"),
            ("--listen=", "--listen is ''; it must be HOST:PORT"),
            ("--operators=localhost:80", "--operators is 'localhost:80'; Envoy listens at an IP address"),
            ("--admin=[::1]", "--admin is .* must be HOST:PORT"),
            ("--upstream=orders", "The address in --upstream orders is ''; it must be HOST:PORT"),
            ("--upstream=orders=[::]:80", "The address in --upstream .* an address to listen at"),
            ("--host=http://shop", "`host` of the topology 'plain' is 'http://shop'"),
            ("--limits=nan", "--limits is a positive number"),
        ],
    )
    def test_are_refused_by_name(self, option: str, complaint: str) -> None:
        with pytest.raises(CommandError, match=complaint):
            configure(option)


def configure(*options: str) -> str:
    printed = StringIO()
    call_command("gateway", "configure", "plain", "--output=-", *options, stdout=printed)
    return printed.getvalue()
