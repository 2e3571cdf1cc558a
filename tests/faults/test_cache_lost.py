"""Redis, where quotas are counted, is killed and stopped under traffic: each quota does what it declares, and heals."""

import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx
import psutil
import pytest
import redis

from pangaea.servers import valkey
from pangaea.testing import free_port, wait_until
from tests.acceptance.shop import Customer, Shop
from tests.acceptance.topologies import HOST
from tests.faults.conftest import Installation
from tests.processes import MANAGE, Process

pytestmark = pytest.mark.full

WORKERS, CLIENTS, SEVERAL = 2, 3, 20
READS, ORDERS = "reads, which are counted open", "orders, which are counted closed"


@dataclass
class Web:
    """A web process of a monolith, with two workers, whose cache is at a port where a test starts and ends Redis."""

    url: str
    process: Process
    cache_port: int


@dataclass
class Traffic:
    """What clients got, by kind, while they send without a pause."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, status: int) -> None:
        with self._guard:
            self.answers[kind, status] += 1

    def wait_for(self, kind: str, status: int, *, during: str) -> None:
        """Wait for several more such answers."""
        before = self.answers[kind, status]
        wait_until(
            lambda: self.answers[kind, status] >= before + SEVERAL,
            what=f"{SEVERAL} answers {status} to {kind} {during}; until now {self.answers}",
            seconds=60,
        )


@pytest.fixture
def web(installation: Installation) -> Web:
    port, cache_port = free_port(), free_port()
    environment = {
        **installation.processes.environment,
        "CACHE_URL": f"redis://{HOST}:{cache_port}/0",
        "QUOTA_FACTOR": "1000",
    }
    command = (*MANAGE, "web", f"--bind={HOST}:{port}", f"--workers={WORKERS}", "--threads=4")
    process = installation.workspace.start("web-with-a-cache", command, environment)
    installation.workspace.wait_ready(f"http://{HOST}:{port}/readyz", process=process)
    return Web(f"http://{HOST}:{port}", process, cache_port)


@contextmanager
def traffic(url: str, sku: str) -> Iterator[Traffic]:
    """Clients that read and order, each in a thread, until the end of the block. A lost connection ends a client."""
    seen, ended = Traffic(), threading.Event()

    def keep_sending(kind: str, send: Callable[[], httpx.Response]) -> None:
        while not ended.is_set():
            answer = send()
            seen.note(kind, answer.status_code)
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                assert answer.headers["retry-after"] == "2"

    with ExitStack() as stack:
        shop = stack.enter_context(Shop(url))
        threads = []
        for number in range(CLIENTS):
            customer = stack.enter_context(Customer.register(shop, full_name=f"Customer {number}"))
            reader = stack.enter_context(Shop(url))
            sends = {
                READS: lambda shop=reader: shop.get("/api/v1/products?limit=1"),
                ORDERS: lambda customer=customer: customer.order((sku, 1)),
            }
            threads += [threading.Thread(target=keep_sending, args=each) for each in sends.items()]
        for each in threads:
            each.start()
        try:
            yield seen
        finally:
            ended.set()
            for each in threads:
                each.join()


@contextmanager
def cache(port: int) -> Iterator[int]:
    """Hold a Redis at this port; gives the id of its process."""
    with valkey.server(port) as url, redis.Redis.from_url(url) as operator:
        yield int(operator.info("server")["process_id"])


def rest(answer: httpx.Response) -> int:
    """How many requests are left of the first quota."""
    found = re.search(r"r=(\d+)", answer.headers["ratelimit"])
    assert found
    return int(found[1])


def has_ended(number: int) -> bool:
    """Whether the process is dead. Its parent may not have noticed it."""
    return not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE


class TestACacheThatIsLost:
    def test_changes_what_quotas_declare_and_nothing_else(self, web: Web) -> None:
        with ExitStack() as stack:
            number = stack.enter_context(cache(web.cache_port))
            with Shop(web.url) as shop:
                sku = max(shop.products(), key=lambda each: each["in_stock"])["sku"]
                rests = [rest(shop.get(f"/api/v1/products/{sku}")) for _ in range(SEVERAL)]
            assert rests == list(range(rests[0], rests[0] - SEVERAL, -1)), "the workers count together"

            seen = stack.enter_context(traffic(web.url, sku))
            seen.wait_for(ORDERS, 201, during="before")
            os.kill(number, signal.SIGKILL)
            seen.wait_for(ORDERS, 503, during="while Redis is dead")
            seen.wait_for(READS, 200, during="while Redis is dead")
            wait_until(lambda: has_ended(number), what="the end of Redis")
            second = stack.enter_context(cache(web.cache_port))
            seen.wait_for(ORDERS, 201, during="after Redis was started again")
            os.kill(second, signal.SIGSTOP)
            stack.callback(os.kill, second, signal.SIGCONT)
            seen.wait_for(ORDERS, 503, during="while Redis hangs")
            seen.wait_for(READS, 200, during="while Redis hangs")
            os.kill(second, signal.SIGCONT)
            seen.wait_for(ORDERS, 201, during="after Redis went on")
        assert seen.answers.keys() == {(READS, 200), (ORDERS, 201), (ORDERS, 503)}
        log = web.process.log.read_text()
        assert "Traceback" not in log
        assert "request refused" not in log, "an outage has one line, not one per request"
        assert 2 <= log.count("cache lost") < seen.answers[ORDERS, 503]
