"""SIGTERM to each process of the split, one by one, while visitors use every module: no visit fails."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

import httpx
import psycopg
import pytest

from pangaea.testing import wait_until
from tests.acceptance.shop import Customer, Shop
from tests.acceptance.topologies import MODULES, Deployment
from tests.processes import Process

pytestmark = [pytest.mark.full, pytest.mark.parametrize("deployment", ["split"], indirect=True)]
SECONDS = 60.0
MORE = 5
"""The number of visits between a signal and the next step."""
VISITORS = 2
PATHS = {"users": "/api/v1/tokens", "orders": "/api/v1/orders", "web_bff": "/bff/v1/checkout"}
"""A path of each module that every visit requests."""


EFFECTS: tuple[tuple[str, LiteralString, list[str]], ...] = (
    ("orders", "SELECT customer_id::text, 'known' FROM orders_customer WHERE customer_id = ANY(%s)", ["known"]),
    ("web_bff", "SELECT user_id::text, 'known' FROM web_bff_profile WHERE user_id = ANY(%s)", ["known"]),
    (
        "orders",
        "SELECT customer_id::text, status FROM orders_order WHERE customer_id = ANY(%s)",
        ["cancelled", "placed"],
    ),
    (
        "web_bff",
        "SELECT customer_id::text, status FROM web_bff_ordersummary WHERE customer_id = ANY(%s)",
        ["cancelled", "placed"],
    ),
    (
        "web_bff",
        """
        SELECT customer_id::text, what
        FROM web_bff_timelineentry JOIN web_bff_ordersummary AS placed ON placed.id = order_id
        WHERE customer_id = ANY(%s)
        """,
        ["cancelled", "placed", "placed"],
    ),
    (
        "web_bff",
        """
        SELECT customer_id::text, CASE WHEN order_id IS NULL THEN code ELSE 'placed' END
        FROM web_bff_checkout AS asked JOIN web_bff_checkoutoutcome ON checkout_id = asked.id
        WHERE customer_id = ANY(%s)
        """,
        ["placed"],
    ),
)
"""The effects of a visit's messages by module: a query for (account, effect), and the effects per account."""

CURSORS: LiteralString = "SELECT source, audience, partition, position FROM pangaea_cursor"
HEADS: LiteralString = "SELECT audience, partition, head FROM pangaea_stream"
UNSEQUENCED: LiteralString = "SELECT count(*) FROM pangaea_outbox WHERE position IS NULL"


@dataclass
class Visits:
    """The accounts of complete visits, and the failures."""

    done: list[str] = field(default_factory=list)
    """The accounts' ids."""
    failures: list[str] = field(default_factory=list)

    def wait_for(self, more: int) -> None:
        goal = len(self.done) + more
        wait_until(lambda: self.failures or len(self.done) >= goal, what=f"{more} more visits", seconds=SECONDS)


@contextmanager
def visiting(shop: Shop, sku: str) -> Iterator[Visits]:
    """Send visitors until the end of the block, each on its own connections.

    A visit: register, log in, order and cancel, check out, read the home page. Its messages: the account to orders and
    to the BFF, the order and its cancellation to the BFF, the checkout to orders, and its outcome to the BFF.
    """
    seen, stop = Visits(), threading.Event()

    def visit() -> None:
        while not stop.wait(0.2):
            try:
                with Customer.register(shop, full_name="A visitor") as visitor:
                    account = visitor.get("/api/v1/accounts/me").raise_for_status().json()["id"]
                    order = visitor.place((sku, 1))["id"]
                    visitor.post(f"/api/v1/orders/{order}/cancel").raise_for_status()
                    visitor.check_out((sku, 1)).raise_for_status()
                    visitor.get("/bff/v1/home").raise_for_status()
            except (httpx.HTTPError, AssertionError) as error:
                seen.failures.append(repr(error))
            else:
                seen.done.append(account)

    visitors = [threading.Thread(target=visit) for _ in range(VISITORS)]
    for each in visitors:
        each.start()
    try:
        yield seen
    finally:
        stop.set()
        for each in visitors:
            each.join()


def rows(deployment: Deployment, module: str, statement: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of a module's own database."""
    url = deployment.process(f"{module}-web").environment[f"{module.upper()}_DATABASE_URL"]
    with psycopg.connect(psycopg.conninfo.make_conninfo(url, options=f"-c search_path={module}")) as connection:
        return connection.execute(statement, values).fetchall()


def terminate(process: Process) -> None:
    """Send SIGTERM twice, and wait until the process ends without an error."""
    for _ in range(2):
        os.kill(process.popen.pid, signal.SIGTERM)
    assert process.popen.wait(timeout=SECONDS) == 0, process.tail


def behind(deployment: Deployment) -> int:
    """How many messages are not yet applied, summed over all subscriptions."""
    # The cursors first, so that messages published meanwhile count as not applied.
    cursors = [cursor for module in MODULES for cursor in rows(deployment, module, CURSORS)]
    heads = {(module, *stream): head for module in MODULES for *stream, head in rows(deployment, module, HEADS)}
    count = sum(heads[source, audience, partition] - position for source, audience, partition, position in cursors)
    for module in MODULES:
        ((unsequenced,),) = rows(deployment, module, UNSEQUENCED)
        count += unsequenced
    return int(count)


class TestEachProcessThatIsTerminated:
    def test_fails_no_request_and_loses_and_doubles_nothing(
        self, deployment: Deployment, shop: Shop, plenty: str
    ) -> None:
        space, stock = deployment.workspace, shop.stock(plenty)
        with visiting(shop, plenty) as seen:
            for module in MODULES:
                with deployment.second_instance(module) as second:
                    second.wait_logged(PATHS[module])
                    seen.wait_for(MORE)
                    first = deployment.process(f"{module}-web")
                    terminate(first)
                    seen.wait_for(MORE)
                    logged = first.log.stat().st_size
                    first.start()
                    space.wait_ready(f"{deployment.web_urls[module]}/readyz", process=first)
                    first.wait_logged(PATHS[module], since=logged)
                seen.wait_for(MORE)
            for name in [f"{module}-{kind}" for kind in ("relay", "worker") for module in MODULES]:
                process = deployment.process(name)
                terminate(process)
                seen.wait_for(MORE)
                process.start()
                seen.wait_for(MORE)
        assert seen.failures == []
        wait_until(lambda: behind(deployment) == 0, what="every message to be applied", seconds=SECONDS)
        assert shop.stock(plenty) == stock - len(seen.done)
        accounts = [UUID(account) for account in seen.done]
        for module, statement, each in EFFECTS:
            found: dict[str, list[str]] = {account: [] for account in seen.done}
            for account, what in rows(deployment, module, statement, accounts):
                found[account].append(what)
            odd = {account: left for account, left in found.items() if sorted(left) != each}
            assert not odd, statement
        for module in MODULES:
            assert rows(deployment, module, "SELECT count(*) FROM pangaea_dead_letter") == [(0,)]
