import threading
from io import StringIO
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError, call_command

from pangaea import gateway
from pangaea.errors import Misconfigured
from pangaea.gateway import Address
from pangaea.testing import wait_until
from tests.gateway.edge import Service, declare, envoy, public


class TestEndpoints:
    def test_are_what_was_added_and_not_removed(self, tmp_path: Path) -> None:
        endpoints = gateway.Endpoints(tmp_path / "not" / "there", "shop")
        one, two = Address("127.0.0.1", 8101), Address("::1", 8102)

        assert endpoints.list() == []
        assert [endpoints.add(two), endpoints.add(one), endpoints.add(two)] == [True, True, False]
        assert endpoints.list() == [one, two]
        assert [endpoints.remove(two), endpoints.remove(two)] == [True, False]
        assert endpoints.list() == [one]

    def test_are_exactly_what_was_set(self, tmp_path: Path) -> None:
        endpoints = gateway.Endpoints(tmp_path, "shop")
        endpoints.add(Address("127.0.0.1", 8101))
        endpoints.set([Address("127.0.0.1", 8103), Address("127.0.0.1", 8102)])

        assert endpoints.list() == [Address("127.0.0.1", 8102), Address("127.0.0.1", 8103)]

    def test_all_count_when_many_are_added_at_once(self, tmp_path: Path) -> None:
        addresses = [Address("127.0.0.1", 8100 + number) for number in range(20)]
        adding = [
            threading.Thread(target=gateway.Endpoints(tmp_path, "shop").add, args=(address,)) for address in addresses
        ]
        for thread in adding:
            thread.start()
        for thread in adding:
            thread.join(timeout=30)

        assert gateway.Endpoints(tmp_path, "shop").list() == addresses

    def test_are_never_written_in_place(self, tmp_path: Path) -> None:
        endpoints = gateway.Endpoints(tmp_path, "shop")
        endpoints.add(Address("127.0.0.1", 8101))
        with endpoints.file.open() as as_it_was:
            endpoints.add(Address("127.0.0.1", 8102))

            assert "8102" not in as_it_was.read()
        assert not list(tmp_path.glob(".*.new"))

    def test_refuse_a_name_which_envoy_would_not_look_up(self, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match=r"localhost:80 has a host name"):
            gateway.Endpoints(tmp_path, "shop").add(Address("localhost", 80))

    @pytest.mark.parametrize("text", ["", "resources: 3", "a: [", "resources: [{endpoints: [{lb_endpoints: [1]}]}]"])
    def test_name_the_file_that_they_cannot_read(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "shop.yaml").write_text(text)

        with pytest.raises(Misconfigured, match=r"shop\.yaml is not a list of endpoints"):
            gateway.Endpoints(tmp_path, "shop").list()


class TestEndpointsCommand:
    def endpoints(self, folder: Path, action: str, *arguments: str) -> str:
        output = StringIO()
        call_command("endpoints", action, *arguments, "--directory", str(folder), stdout=output)
        return output.getvalue()

    def test_adds_lists_and_removes(self, tmp_path: Path) -> None:
        assert self.endpoints(tmp_path, "add", "orders", "127.0.0.1:8102") == "orders 127.0.0.1:8102 added\n"
        assert (
            self.endpoints(tmp_path, "add", "orders", "127.0.0.1:8102") == "orders 127.0.0.1:8102 was there already\n"
        )
        self.endpoints(tmp_path, "add", "users", "[::1]:8101")
        assert self.endpoints(tmp_path, "list") == "orders 127.0.0.1:8102\nusers [::1]:8101\n"
        assert self.endpoints(tmp_path, "list", "users") == "users [::1]:8101\n"
        assert self.endpoints(tmp_path, "remove", "orders", "127.0.0.1:8102") == "orders 127.0.0.1:8102 removed\n"
        assert self.endpoints(tmp_path, "list", "orders") == ""
        self.endpoints(tmp_path, "set", "orders", "127.0.0.1:8105", "127.0.0.1:8104")
        assert self.endpoints(tmp_path, "list", "orders") == "orders 127.0.0.1:8104\norders 127.0.0.1:8105\n"
        self.endpoints(tmp_path, "set", "orders")
        assert self.endpoints(tmp_path, "list", "orders") == ""

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["add", "shop", "127.0.0.1:1"], "no module 'shop' in this process. Installed: orders"),
            (["add", "orders", "8102"], "The address is '8102'; it must be HOST:PORT"),
            (["add", "orders", "orders:8102"], "takes IP addresses"),
            (["remove", "orders", "127.0.0.1:1"], "orders has no endpoint 127.0.0.1:1. There are: none."),
        ],
    )
    def test_refuses_what_it_cannot_do(self, tmp_path: Path, arguments: list[str], complaint: str) -> None:
        with pytest.raises(CommandError, match=complaint):
            self.endpoints(tmp_path, *arguments)


class TestDiscovery:
    """Instances that are added and removed under a running Envoy."""

    def test_an_instance_is_used_once_it_is_added_and_ready_and_no_more_once_it_is_removed(
        self, tmp_path: Path
    ) -> None:
        folder = tmp_path / "endpoints"
        shop = gateway.Endpoints(folder, "shop")
        shop.set([])
        first, second = Service("first"), Service("second")
        try:
            with (
                envoy(tmp_path, [declare("shop", public("/shop"))], endpoints=str(folder)) as edge,
                httpx.Client(base_url=edge.url, timeout=10, trust_env=False) as client,
            ):

                def answer() -> set[str]:
                    answers = [client.get("/shop") for _ in range(20)]
                    return {each.json().get("service", each.reason_phrase) for each in answers}

                assert answer() == {"Service Unavailable"}

                shop.add(Address.parse(first.address, what="first"))
                wait_until(lambda: answer() == {"first"}, what="the first to be used")

                second.ready = False
                shop.add(Address.parse(second.address, what="second"))
                wait_until(lambda: second.asked >= 2, what="the second to be asked whether it is ready")
                assert answer() == {"first"}

                second.ready = True
                wait_until(lambda: answer() == {"first", "second"}, what="both to be used")

                shop.remove(Address.parse(first.address, what="first"))
                wait_until(lambda: answer() == {"second"}, what="the first to be used no more")
                assert first.ready
        finally:
            first.close()
            second.close()
