"""The topologies that the acceptance tests run against, and the latency that they measured in each."""

import secrets
import statistics
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pangaea.testing.databases import scratch_database
from tests.acceptance import topologies
from tests.acceptance.shop import Customer, Shop
from tests.acceptance.topologies import Deployment

TOPOLOGIES = [
    pytest.param("local"),
    pytest.param("monolith-rabbitmq"),
    pytest.param("monolith-redis", marks=pytest.mark.full),
    pytest.param("services", marks=pytest.mark.full),
    pytest.param("split", marks=pytest.mark.full),
]
ENTRY = """
from django.db import transaction
from modules.orders import commands
from pangaea.messages import Money
entry = {{"sku": "{sku}", "name": "Pebble", "description": "", "price": Money(1, "EUR")}}
with transaction.atomic(using="orders"):
    commands.{command}(**entry, {more})
"""
LATENCIES = pytest.StashKey[dict[str, list[float]]]()


@pytest.fixture(scope="session", params=TOPOLOGIES)
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A running system in each topology. Its servers and databases are created for it and deleted with it."""
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    with ExitStack() as stack:

        def database() -> str:
            url: str = request.getfixturevalue("postgres_url")
            return stack.enter_context(scratch_database(url, prefix="pangaea_acceptance"))

        if name == "local":
            running = topologies.local(folder)
        elif name == "split":
            running = topologies.split(
                folder,
                administrator_url=request.getfixturevalue("postgres_url"),
                broker_url=request.getfixturevalue("amqp_url"),
            )
        elif name == "services":
            running = topologies.services(
                folder,
                name=name,
                broker_url=request.getfixturevalue("amqp_url"),
                database_urls={module: database() for module in topologies.MODULES},
            )
        else:
            broker = request.getfixturevalue("amqp_url" if name.endswith("rabbitmq") else "redis_url")
            running = topologies.monolith(folder, name=name, broker_url=broker, database_url=database())
        yield stack.enter_context(running)


@pytest.fixture(scope="session")
def shop(deployment: Deployment) -> Iterator[Shop]:
    """A client of the deployment's public address, without a token."""
    with Shop(deployment.base_url) as anybody:
        yield anybody


@pytest.fixture(scope="session")
def ada(shop: Shop) -> Iterator[Customer]:
    """A customer who is registered and known to the BFF."""
    with Customer.register(shop, full_name="Ada Lovelace") as ada:
        ada.wait_until_known()
        yield ada


@pytest.fixture
def customer(ada: Customer) -> Customer:
    """A customer who is registered, known to the BFF, and logged in for long enough: a run may outlast a token."""
    ada.renew_token()
    return ada


@pytest.fixture
def plenty(deployment: Deployment) -> Iterator[str]:
    """The sku of a product with enough stock for any load, in a topology where orders has its own processes."""
    sku = f"PEBBLE-{secrets.token_hex(4).upper()}"
    (web,) = (each for each in deployment.workspace.processes if each.name == "orders-web")

    def enter(command: str, more: str) -> None:
        code = ENTRY.format(sku=sku, command=command, more=more)
        deployment.workspace.manage("shell", "--command", code, environment=web.environment)

    enter("add_product", "stock=100_000")
    yield sku
    enter("change_product", "active=False")


@pytest.fixture(scope="session")
def latencies(deployment: Deployment, pytestconfig: pytest.Config) -> list[float]:
    """Seconds from an order's answer to its appearance on the BFF, added by tests and printed in the summary."""
    return pytestconfig.stash.setdefault(LATENCIES, {}).setdefault(deployment.name, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print one line per topology: how long an order took to reach the BFF."""
    for name, seconds in config.stash.get(LATENCIES, {}).items():
        if seconds:
            terminalreporter.write_line(
                f"order to BFF, {name}: median {statistics.median(seconds) * 1000:.0f} ms, "
                f"worst {max(seconds) * 1000:.0f} ms of {len(seconds)}"
            )
