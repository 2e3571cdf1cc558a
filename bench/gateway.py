"""The cost of the gateway: the same request through it, with all its filters, and directly, in one run."""

import http.client
import os
import ssl
import statistics
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import servers
from deploy.split import HOST, Ports, held
from pangaea import modules
from pangaea.servers import rabbitmq
from pangaea.testing import free_port
from tests.processes import workspace

PATH, CLIENTS, SECONDS, ROUNDS = "/api/v1/products", 4, 5.0, 3
UNLIMITED = 10_000.0
"""Factor on the rate limits: they are evaluated, and never reached."""


@dataclass(frozen=True)
class Figures:
    """Requests per second, and milliseconds per request."""

    rate: float
    median: float
    worst: float


def run() -> dict[str, Figures]:
    """Directly and through the gateway, in turns; medians of the rounds."""
    with ExitStack() as stack:
        administrator = stack.enter_context(servers.administrator())
        broker = stack.enter_context(rabbitmq.virtual_host(os.environ.get("TEST_AMQP_URL", rabbitmq.DEFAULT_URL)))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="pangaea-bench-")))
        ports = Ports(
            free_port(), free_port(), free_port(), free_port(), {label: free_port() for label in modules.discover()}
        )
        split = stack.enter_context(
            held(
                folder / "state",
                administrator_url=administrator,
                broker_url=broker,
                prefix="pangaea_bench_split",
                ports=ports,
                limits=UNLIMITED,
            )
        )
        stack.callback(split.drop_databases)
        trust = ssl.create_default_context(cafile=str(split.certificates / "ca.crt"))
        trust.load_cert_chain(split.certificates / "gateway.crt", split.certificates / "gateway.key")
        space = stack.enter_context(workspace(folder, trust=trust))
        running = {
            program.name: space.start(program.name, program.command, program.environment)
            for program in split.programs()
        }
        space.wait_ready(f"https://{HOST}:{ports.web['orders']}/readyz", process=running["orders.web"])
        space.wait_ready(f"https://{HOST}:{ports.https}{PATH}", process=running["gateway"])
        places = {"beside": ports.web["orders"], "through": ports.https}
        rounds = [{name: _measure(port, trust) for name, port in places.items()} for _ in range(ROUNDS)]
    return {name: _middle([each[name] for each in rounds]) for name in rounds[0]}


def _middle(found: list[Figures]) -> Figures:
    return sorted(found, key=lambda figures: figures.rate)[len(found) // 2]


def _measure(port: int, trust: ssl.SSLContext) -> Figures:
    until = time.monotonic() + SECONDS
    took: list[float] = []
    clients = [threading.Thread(target=_visit, args=(port, trust, until, took)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    cuts = statistics.quantiles(took, n=100)
    return Figures(rate=len(took) / SECONDS, median=cuts[49] * 1000, worst=cuts[98] * 1000)


def _visit(port: int, trust: ssl.SSLContext, until: float, took: list[float]) -> None:
    connection = http.client.HTTPSConnection(HOST, port, context=trust)
    while time.monotonic() < until:
        started = time.monotonic()
        connection.request("GET", PATH)
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise AssertionError(f"{answer.status} from port {port}")
        took.append(time.monotonic() - started)
    connection.close()
