"""Two services, each with its own RabbitMQ user and database, use the bus in every way that a module does."""

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from pangaea.servers import rabbitmq
from pangaea.servers.errors import Unavailable
from pangaea.testing import wait_until
from pangaea.testing.availability import unavailable
from pangaea.testing.databases import scratch_database
from tests.processes import MANAGE, Process, Workspace, workspace

HEALING_SECONDS = 60.0


@dataclass(frozen=True)
class Landscape:
    """`orders`, which publishes, and `web_bff`, which subscribes to it; a test starts the processes."""

    workspace: Workspace
    environments: dict[str, dict[str, str]]

    def start(self, module: str, kind: str) -> Process:
        return self.workspace.start(f"{module}-{kind}", (*MANAGE, kind), self.environments[module])

    def manage(self, module: str, *arguments: str) -> str:
        return self.workspace.manage(*arguments, environment=self.environments[module])

    def streams(self, module: str) -> dict[str, Any]:
        (status,) = json.loads(self.manage(module, "streams", "--json"))
        found: dict[str, Any] = status
        return found

    def sent(self) -> int:
        """How many messages orders has sent to all modules."""
        return sum(each["sent"] for each in self.streams("orders")["streams"] if each["audience"] == "all")

    def passed(self) -> set[int]:
        """How many messages of orders each of web_bff's subscriptions has passed."""
        return {
            sum(each["position"] for each in subscription["cursors"] if each["source"] == "orders")
            for subscription in self.streams("web_bff")["subscriptions"]
            if any(each["source"] == "orders" for each in subscription["cursors"])
        }

    def reported(self) -> set[int]:
        """The lag that each subscriber of orders reported."""
        return {each["lag"] for each in self.streams("orders")["subscribers"]}


@pytest.fixture
def landscape(amqp_url: str, postgres_url: str, tmp_path: Path) -> Iterator[Landscape]:
    prefix = f"t{secrets.token_hex(4)}."
    with ExitStack() as stack:
        declared = replace(django_settings.PANGAEA, broker_url=amqp_url, broker_prefix=prefix)
        try:
            urls = stack.enter_context(rabbitmq.module_users(declared, amqp_url))
        except Unavailable as reason:
            unavailable(
                "RabbitMQ's administration", str(reason), remedy="enable its management plug-in, or test as root"
            )
        space = stack.enter_context(workspace(tmp_path))
        environments = {
            module: {
                "DJANGO_SETTINGS_MODULE": "pangaea.settings.service",
                "PANGAEA_MODULES": module,
                "SECRET_KEY": secrets.token_urlsafe(50),
                "ALLOWED_HOSTS": "127.0.0.1",
                "JWKS_URL": "http://127.0.0.1:1/.well-known/jwks.json",
                "BROKER_URL": urls[module],
                "BROKER_PREFIX": prefix,
                "ANNOUNCE_FIRST": "0.2",
                "ANNOUNCE_AT_MOST": "1",
                "CATCH_UP_RENEWAL": "2",
                f"{module.upper()}_DATABASE_URL": stack.enter_context(
                    scratch_database(postgres_url, prefix="pangaea_rights")
                ),
            }
            for module in ("orders", "web_bff")
        }
        yield Landscape(space, environments)


@pytest.mark.full
class TestAServiceWithItsOwnRights:
    def test_relays_consumes_catches_up_and_reports(self, landscape: Landscape) -> None:
        for module in landscape.environments:
            landscape.manage(module, "migrate")
        landscape.manage("orders", "seed_demo")
        landscape.start("orders", "relay")
        landscape.start("orders", "worker")
        wait_until(lambda: landscape.sent() > 0, what="orders to send", seconds=HEALING_SECONDS)
        first = landscape.sent()

        # Messages from before web_bff had a queue are lost: announcements show the gap, and it asks for the rest.
        landscape.start("web_bff", "worker")
        wait_until(lambda: landscape.passed() == {first}, what="web_bff to catch up", seconds=HEALING_SECONDS)

        landscape.manage("orders", "snapshot", "orders.product")
        wait_until(lambda: landscape.sent() > first, what="orders to send more", seconds=HEALING_SECONDS)
        wait_until(
            lambda: landscape.passed() == {landscape.sent()}, what="web_bff to apply more", seconds=HEALING_SECONDS
        )
        wait_until(lambda: landscape.reported() == {0}, what="web_bff's reports to arrive", seconds=HEALING_SECONDS)
        for process in landscape.workspace.processes:
            process.check()
            assert "ACCESS_REFUSED" not in process.log.read_text()
