"""The load that the gateway keeps from an overloaded module, and from itself."""

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pangaea import gateway, modules
from pangaea.testing import wait_until
from tests.gateway.edge import CONF, HOST, Edge, Service, declare, envoy, public, services
from tests.gateway.test_retries import endpoints

FLOOD = 12
PLENTY = 1000
"""Factor on the declared rate limits, so that other limits are reached first."""
RELIEVED = (
    "The service behind this address is overloaded or failing: the request was not passed on to it. "
    "Try again in a moment."
)


class TestCircuitBreakers:
    """With thresholds that a test can exceed; the committed ones are in the hundreds."""

    @pytest.mark.parametrize(
        ("thresholds", "reach", "wait"),
        [
            ({"max_connections": 2, "max_pending_requests": 1}, 2, 1),
            ({"max_connections": 3, "max_pending_requests": 4}, 3, 4),
            ({"max_requests": 2, "max_pending_requests": 1}, 2, 0),
        ],
        ids=["connections", "waiting", "requests"],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_bound_what_reaches_a_module_and_refuse_the_surplus_at_once(
        self, tmp_path: Path, thresholds: dict[str, int], reach: int, wait: int, method: str
    ) -> None:
        template = gateway.template(CONF)
        template["cluster"]["circuit_breakers"]["thresholds"][0] |= thresholds
        with shop_and_store(tmp_path, template) as (edge, shop, _):
            with flood(edge, "/shop/slow", method) as asked:
                surplus = FLOOD - reach - wait
                wait_until(lambda: len(answered(asked)) >= surplus, what="the surplus to be refused", seconds=30)
                wait_until(lambda: reached(shop, "/slow") == reach, what="the others to arrive", seconds=30)
                refused = answered(asked)
                elsewhere = [httpx.request(method, f"{edge.url}/store", trust_env=False) for _ in range(FLOOD)]
                assert (reached(shop, "/slow"), answered(asked)) == (reach, refused), "the breaker holds"
                shop.let_go.set()
            afterwards = [httpx.request(method, f"{edge.url}/shop", trust_env=False) for _ in range(FLOOD)]

            assert len(refused) == surplus
            for answer in refused:
                assert_relieved(answer)
                assert answer.headers["x-envoy-overloaded"] == "true"
                line = edge.logged(answer.headers["x-request-id"])
                assert (line["status"], line["flags"], line["module"]) == (503, "UO", "shop")
                assert line["why"].endswith("{overflow}")
            assert [each.status_code for each in answered(asked) if each not in refused] == [200] * (reach + wait)
            assert {each.status_code for each in elsewhere} == {200}
            assert {each.status_code for each in afterwards} == {200}
            assert (overflowed(edge, "shop"), overflowed(edge, "store")) == (surplus, 0)

    @pytest.mark.parametrize("topology", sorted(gateway.topologies(CONF)))
    def test_are_set_for_every_module_of_every_topology(self, topology: str) -> None:
        rendered = yaml.safe_load((CONF / f"envoy.{topology}.yaml").read_text())

        # A cluster of clusters has no connections of its own.
        of_modules = [each for each in rendered["static_resources"]["clusters"] if "cluster_type" not in each]
        assert [each["name"] for each in of_modules] == modules.labels()
        for cluster in of_modules:
            (bounds,) = cluster["circuit_breakers"]["thresholds"]
            wanted = ("max_connections", "max_pending_requests", "max_requests")
            assert all(0 < bounds[each] <= 1024 for each in wanted), cluster["name"]
            assert bounds["retry_budget"]["budget_percent"]["value"] <= 20


class TestAdmissionControl:
    def test_relieves_only_a_module_that_mostly_fails_until_it_succeeds(self, tmp_path: Path) -> None:
        template = gateway.template(CONF)
        admission_control(template)["sampling_window"] = "2s"
        with (
            shop_and_store(tmp_path, template) as (edge, shop, store),
            httpx.Client(base_url=edge.url, timeout=20, trust_env=False) as client,
        ):

            def ask(*, times: int) -> list[httpx.Response]:
                return [client.post("/shop/fail") for _ in range(times)]

            def refusals() -> bool:
                return any(each.status_code == 503 for each in ask(times=10))

            wait_until(refusals, what="the first to be refused", seconds=30)
            before = reached(shop, "/fail")
            answers, elsewhere = [], []
            for _ in range(300):
                answers += ask(times=1)
                elsewhere.append(client.post("/store"))
            refused = [each for each in answers if each.status_code == 503]
            failed = [each for each in answers if each.status_code == 500]

            assert len(refused) + len(failed) == len(answers)
            assert refused, "a part is refused"
            assert failed, "a part passes, by which it shows that it has recovered"
            assert reached(shop, "/fail") - before == len(failed)
            for answer in refused:
                assert_relieved(answer)
                assert "x-envoy-overloaded" not in answer.headers
            line = edge.logged(refused[-1].headers["x-request-id"])
            assert (line["status"], line["module"], line["why"]) == (503, "shop", "denied_by_admission_control")
            assert {each.status_code for each in elsewhere} == {200}
            assert len([each for each in store.seen if each.method == "POST"]) == len(elsewhere)
            assert rejected(edge, "shop") >= len(refused)
            assert rejected(edge, "store") == 0

            def recovered() -> bool:
                return all(client.post("/shop").status_code == 200 for _ in range(100))

            wait_until(recovered, what="the refusals to end", seconds=30)

    def test_leaves_a_module_alone_whose_answers_are_refusals_of_its_own(self, tmp_path: Path) -> None:
        """A client's fault (4xx) is no sign of a failing module."""
        template = gateway.template(CONF)
        admission_control(template)["sampling_window"] = "2s"
        with (
            shop_and_store(tmp_path, template) as (edge, _, _),
            httpx.Client(base_url=edge.url, timeout=20, trust_env=False) as client,
        ):
            assert {client.post("/shop/refuse").status_code for _ in range(300)} == {409}
            assert rejected(edge, "shop") == 0


class TestAModuleThatRefuses:
    """Because a route of it has too many requests at once: it answers 503 and works."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_is_asked_once_per_request_and_stays_in_use(self, tmp_path: Path, method: str) -> None:
        template = gateway.template(CONF)
        admission_control(template)["sampling_window"] = "2s"
        with (
            services("one", "two") as running,
            envoy(
                tmp_path,
                [declare("shop", public("/shop"))],
                template=template,
                endpoints=endpoints(tmp_path, running),
                limits=PLENTY,
            ) as edge,
            httpx.Client(base_url=edge.url, timeout=20, trust_env=False) as client,
        ):
            wait_until(lambda: len(edge.healthy("shop")) == 2, what="both to be used", seconds=30)

            answers, others = [], []
            for _ in range(200):
                answers.append(client.request(method, "/shop/busy"))
                others.append(client.request(method, "/shop"))

            assert {each.status_code for each in answers} == {503}
            assert {each.headers["retry-after"] for each in answers} == {"2"}
            assert sum(reached(each, "/busy") for each in running.values()) == len(answers), "none is repeated"
            assert {each.status_code for each in others} == {200}
            assert (len(edge.healthy("shop")), rejected(edge, "shop")) == (2, 0)
            assert edge.logged(answers[0].headers["x-request-id"])["status"] == 503


class TestConnections:
    def test_beyond_the_limit_are_closed_at_once_and_those_below_it_served(self, tmp_path: Path) -> None:
        template = gateway.template(CONF)
        (monitor,) = template["bootstrap"]["overload_manager"]["resource_monitors"]
        monitor["typed_config"]["max_active_downstream_connections"] = 2
        with shop_and_store(tmp_path, template, wait=False) as (edge, _, _), ExitStack() as held:
            wait_until(lambda: edge.healthy("shop"), what="the service to be used", seconds=30)
            accepted = [held.enter_context(connected(edge)) for _ in range(2)]
            with connected(edge) as surplus:
                assert speak(surplus) == b""
            assert [speak(each) for each in accepted] == [b"HTTP/1.1 200"] * 2
            address = f"{HOST}_{edge.port}"
            assert edge.count("envoy_listener_downstream_global_cx_overflow", envoy_listener_address=address) == 1

            accepted[0].close()

            def served() -> bool:
                with connected(edge) as next_one:
                    return speak(next_one) == b"HTTP/1.1 200"

            wait_until(served, what="another to be served", seconds=30)


@contextmanager
def shop_and_store(
    folder: Path, template: gateway.Template, *, wait: bool = True
) -> Iterator[tuple[Edge, Service, Service]]:
    declared = [declare("shop", public("/shop")), declare("store", public("/store"))]
    with services("shop", "store") as running:
        addresses = {name: each.address for name, each in running.items()}
        with envoy(folder, declared, template=template, upstreams=addresses, limits=PLENTY) as edge:
            if wait:
                edge.wait_for("/shop", "/store")
            yield edge, running["shop"], running["store"]


@contextmanager
def flood(edge: Edge, path: str, method: str) -> Iterator[list["Future[httpx.Response]"]]:
    """Send concurrent requests, each on its own connection; all are answered by the end of the block."""
    with ThreadPoolExecutor(FLOOD) as pool:
        yield [
            pool.submit(httpx.request, method, f"{edge.url}{path}", timeout=60, trust_env=False) for _ in range(FLOOD)
        ]


def answered(asked: list["Future[httpx.Response]"]) -> list[httpx.Response]:
    return [each.result() for each in asked if each.done()]


def reached(service: Service, end: str) -> int:
    return len([each for each in service.seen if each.path.endswith(end)])


def assert_relieved(answer: httpx.Response) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"
    document = answer.json()
    assert (answer.status_code, document["status"], document["code"]) == (503, 503, "unavailable")
    assert document["detail"] == RELIEVED


def overflowed(edge: Edge, module: str) -> int:
    names = ("upstream_rq_pending_overflow", "upstream_rq_active_overflow")
    return sum(edge.count(f"envoy_cluster_{name}", envoy_cluster_name=module) for name in names)


def rejected(edge: Edge, module: str) -> int:
    return edge.count("envoy_cluster_admission_control_rq_rejected", envoy_cluster_name=module)


def admission_control(template: gateway.Template) -> Any:
    (options,) = template["cluster"]["typed_extension_protocol_options"].values()
    return options["http_filters"][0]["typed_config"]


def connected(edge: Edge) -> socket.socket:
    return socket.create_connection((HOST, edge.port), timeout=20)


def speak(connection: socket.socket) -> bytes:
    """The beginning of the answer; empty where the gateway closed the connection."""
    try:
        connection.sendall(b"GET /shop HTTP/1.1\r\nHost: edge\r\n\r\n")
        return connection.recv(4096)[:12]
    except ConnectionError:
        return b""
