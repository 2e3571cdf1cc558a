"""What the RabbitMQ user of a module may do, verified on a real server."""

import base64
import hashlib
import io
import itertools
import json
import secrets
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import amqp
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import CommandError
from kombu.exceptions import OperationalError
from pytest_django import Settings
from structlog.testing import capture_logs

from pangaea import modules
from pangaea.broker import admission, celery_app, permissions, sending, topology
from pangaea.configuration.declared import Declared
from pangaea.errors import Misconfigured
from pangaea.inbox import consume
from pangaea.servers import rabbitmq
from pangaea.servers.errors import Unavailable
from pangaea.testing import wait_until
from pangaea.testing.availability import unavailable
from pangaea.wire import PARTITIONS, Batch


@dataclass(frozen=True)
class Rights:
    """A virtual host with one user per module. The modules' queues exist."""

    prefix: str
    urls: dict[str, str]
    administrator: str

    def queue(self, label: str) -> str:
        return f"{self.prefix}{label}.inbox.0of1"

    @property
    def exchange(self) -> str:
        return f"{self.prefix}streams"


def connect(url: str) -> Any:
    address = urlsplit(url)
    connection = amqp.Connection(
        f"{address.hostname}:{address.port or 5672}",
        userid=unquote(address.username or "guest"),
        password=unquote(address.password or "guest"),
        virtual_host=unquote(address.path.removeprefix("/")) or "/",
    )
    connection.connect()
    return connection


def declared_for(url: str, prefix: str) -> Declared:
    return replace(django_settings.PANGAEA, broker_url=url, broker_prefix=prefix)


@pytest.fixture(
    scope="module",
    params=["on the server of the machine", pytest.param("by the management API", marks=pytest.mark.full)],
)
def rights(request: pytest.FixtureRequest) -> Iterator[Rights]:
    prefix = f"t{secrets.token_hex(4)}."
    try:
        with ExitStack() as stack:
            if request.param == "by the management API":
                url = stack.enter_context(rabbitmq.virtual_host(request.getfixturevalue("managed_rabbit").url))
            else:
                url = request.getfixturevalue("amqp_url")
            urls = stack.enter_context(rabbitmq.module_users(declared_for(url, prefix), url))
            yield Rights(prefix, urls, url)
    except Unavailable as reason:
        unavailable("RabbitMQ's administration", str(reason), remedy="enable its management plug-in, or test as root")


@pytest.fixture
def as_orders(rights: Rights, settings: Settings) -> Iterator[Any]:
    """The connection of orders' user, after every module has declared what it needs with its own user."""
    for label, url in rights.urls.items():
        settings.PANGAEA = declared_for(url, rights.prefix)
        celery = celery_app.make_app(settings.PANGAEA)
        celery.conf.task_queues = topology.queues(settings.PANGAEA, [label], virtual=False)
        topology.declare(celery)
    with connect(rights.urls["orders"]) as connection:
        yield connection


def received(channel: Any, queue: str) -> Iterator[tuple[str, str]]:
    """Routing key and body of each message in a queue, as it arrives."""
    arrived: deque[tuple[str, str]] = deque()
    channel.basic_consume(
        queue, no_ack=True, callback=lambda each: arrived.append((each.delivery_info["routing_key"], each.body))
    )
    while True:
        while not arrived:
            channel.connection.drain_events(timeout=10)
        yield arrived.popleft()


Attempt = Callable[[Any, Rights], object]

REFUSED: dict[str, Attempt] = {
    "publish to users' stream": lambda c, r: c.basic_publish_confirm(amqp.Message("x"), r.exchange, "users.all.0"),
    "publish to users' commands": lambda c, r: c.basic_publish_confirm(amqp.Message("x"), r.exchange, "users.orders.0"),
    "publish under no name": lambda c, r: c.basic_publish_confirm(amqp.Message("x"), r.exchange, ""),
    "publish into a queue": lambda c, r: c.basic_publish_confirm(amqp.Message("x"), "", r.queue("users")),
    "publish to amq.topic": lambda c, _: c.basic_publish_confirm(amqp.Message("x"), "amq.topic", "orders.all.0"),
    "read another's queue": lambda c, r: c.basic_get(r.queue("users")),
    "consume another's queue": lambda c, r: c.basic_consume(r.queue("web_bff")),
    "declare another's queue": lambda c, r: c.queue_declare(r.queue("users"), durable=True),
    "declare a queue called like another's": lambda c, r: c.queue_declare(f"{r.prefix}users.inbox.7of8", durable=True),
    "declare a queue of no module": lambda c, r: c.queue_declare(f"{r.prefix}spy", durable=True),
    "purge another's queue": lambda c, r: c.queue_purge(r.queue("users")),
    "delete another's queue": lambda c, r: c.queue_delete(r.queue("users")),
    "bind another's queue": lambda c, r: c.queue_bind(r.queue("users"), r.exchange, "users.all.*"),
    "bind its queue to what it did not subscribe to": lambda c, r: c.queue_bind(
        r.queue("orders"), r.exchange, "web_bff.all.*"
    ),
    "listen to everything": lambda c, r: c.queue_bind(r.queue("orders"), r.exchange, "#"),
    "listen to every event": lambda c, r: c.queue_bind(r.queue("orders"), r.exchange, "*.all.*"),
    "listen to another's commands": lambda c, r: c.queue_bind(r.queue("orders"), r.exchange, "*.web_bff.*"),
    "listen to all of a source": lambda c, r: c.queue_bind(r.queue("orders"), r.exchange, "users.#"),
    "delete the exchange": lambda c, r: c.exchange_delete(r.exchange),
    "make an exchange": lambda c, r: c.exchange_declare(f"{r.prefix}other", "topic"),
    "bind exchanges": lambda c, r: c.exchange_bind("amq.fanout", r.exchange, "#"),
}


class TestTheUserOfOrders:
    @pytest.mark.parametrize("attempt", REFUSED)
    def test_is_refused_every_other_right(self, as_orders: Any, rights: Rights, attempt: str) -> None:
        with pytest.raises(amqp.AccessRefused):
            REFUSED[attempt](as_orders.channel(), rights)

    def test_writes_its_own_streams_and_reads_its_own_queue(self, as_orders: Any, rights: Rights) -> None:
        channel = as_orders.channel()
        for key in ("orders.all.0", "orders.users.3"):
            channel.basic_publish_confirm(amqp.Message("x"), rights.exchange, key)
        with connect(rights.urls["users"]) as users:
            users.channel().basic_publish_confirm(amqp.Message("from users"), rights.exchange, "users.all.0")
        channel.queue_declare(rights.queue("orders"), passive=True)
        assert next(received(channel, rights.queue("orders"))) == ("users.all.0", "from users")

    def test_cannot_forge_its_sender_by_further_routing_keys(self, as_orders: Any, rights: Rights) -> None:
        """RabbitMQ before 4.0 checks only the first key. What arrives by another one still names its true sender."""
        message = amqp.Message("forged", application_headers={"CC": ["users.all.0"], "BCC": ["users.all.1"]})
        try:
            as_orders.channel().basic_publish_confirm(message, rights.exchange, "orders.stranger.0")
        except amqp.AccessRefused:
            return
        with connect(rights.urls["users"]) as users:
            users.channel().basic_publish_confirm(amqp.Message("the last"), rights.exchange, "users.all.0")
        with connect(rights.urls["web_bff"]) as bff:
            arrived = received(bff.channel(), rights.queue("web_bff"))
            before = list(itertools.takewhile(lambda each: each[1] != "the last", arrived))
        assert {key for key, body in before if body == "forged"} == {"orders.stranger.0"}


class TestTheExchange:
    def test_is_named_when_it_is_missing_and_the_user_may_not_declare_it(
        self, rights: Rights, settings: Settings
    ) -> None:
        url = rights.urls["orders"]
        settings.PANGAEA = declared_for(url, rights.prefix)
        with connect(rights.administrator) as administrator:
            administrator.channel().exchange_delete(rights.exchange)
            try:
                with pytest.raises(OperationalError, match="permissions render"):
                    topology.declare(celery_app.make_app(settings.PANGAEA))
            finally:
                administrator.channel().exchange_declare(rights.exchange, "topic", durable=True, auto_delete=False)


class TestTheDefinitions:
    def render(self, *arguments: str) -> Any:
        output = io.StringIO()
        call_command("permissions", "render", "--rabbitmq", *arguments, stdout=output)
        return json.loads(output.getvalue())

    def test_have_one_user_per_module_who_cannot_log_in_without_a_password(self) -> None:
        found = self.render("--vhost=/")
        assert {each["name"]: each["password_hash"] for each in found["users"]} == dict.fromkeys(modules.labels(), "")
        assert all(each["tags"] == "" for each in found["users"])

    def test_hold_a_password_as_a_salted_hash(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("s3cret\n")
        monkeypatch.setenv("ORDERS_BROKER_PASSWORD_FILE", str(tmp_path / "password"))
        found = {each["name"]: each["password_hash"] for each in self.render("--vhost=/")["users"]}
        raw = base64.b64decode(found["orders"])
        assert raw[4:] == hashlib.sha256(raw[:4] + b"s3cret").digest()

    def test_are_for_the_virtual_host_of_the_broker(self, settings: Settings) -> None:
        settings.PANGAEA = declared_for("amqps://pangaea:x@mq.example/shop", "eu.")
        found = self.render()
        assert found["vhosts"] == [{"name": "shop"}]
        assert {each["user"] for each in found["permissions"]} == {f"eu.{label}" for label in modules.labels()}
        assert found["permissions"][0]["configure"].startswith(r"^eu\.")

    def test_ask_for_the_virtual_host_where_the_broker_is_another(self) -> None:
        with pytest.raises(CommandError, match="--vhost"):
            self.render()

    def test_are_readable_by_their_owner_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "definitions.json"
        call_command("permissions", "render", "--rabbitmq", "--vhost=/", f"--output={file}")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text())["exchanges"][0]["name"] == "streams"

    def test_are_not_applied_without_passwords(self) -> None:
        with pytest.raises(CommandError, match="ORDERS_BROKER_PASSWORD"):
            call_command("permissions", "apply", "--rabbitmq", "--vhost=/")

    def test_are_left_to_an_administrator_where_rabbitmqctl_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setattr(permissions, "ADMINISTRATION", ())
        with pytest.raises(Misconfigured, match="management API"):
            permissions.apply("{}")


class Reader:
    """The consumer of orders' worker, with the messages that it admitted."""

    def __init__(self, rights: Rights, settings: Settings) -> None:
        settings.PANGAEA = declared_for(rights.urls["orders"], rights.prefix)
        self.admitted: list[tuple[str, bytes]] = []
        self.celery = celery_app.make_app(settings.PANGAEA)
        queues = topology.queues(settings.PANGAEA, ["orders"], virtual=False)
        self._connection = self.celery.connection_for_read()
        channel: Any = self._connection.default_channel
        channel.queue_purge(rights.queue("orders"))
        self._consumer = self.celery.amqp.Consumer(channel, queues, on_message=self._receive, accept=["pangaea"])
        self._consumer.consume()

    def _receive(self, message: Any) -> None:
        self.admitted.append((message.delivery_info["routing_key"], bytes(message.body)))
        message.ack()

    @property
    def refused(self) -> dict[str, int]:
        """How many were refused, by reason."""
        return {reason: count for (_, reason), count in self.celery.refused_messages.counts.items()}

    def wait_for(self, count: int) -> None:
        """Return when this many have arrived, admitted or refused."""

        def enough() -> bool:
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=0.1)
            return len(self.admitted) + sum(self.refused.values()) >= count

        wait_until(enough, what=f"{count} messages")

    def close(self) -> None:
        self._connection.release()
        self.celery.close()


BATCH = Batch(source="users", audience="all", partition=7, partitions=PARTITIONS, first=1, before=None, head=0, floor=0)


def forged(*, user_id: str | None = None, **headers: Any) -> Any:
    """A message that is valid but for its sender."""
    return amqp.Message(
        BATCH.pack([]),
        content_type=admission.CONTENT_TYPE,
        content_encoding=admission.CONTENT_ENCODING,
        application_headers={"task": admission.DELIVER, "id": str(uuid4()), **headers},
        **({"user_id": user_id} if user_id else {}),
    )


class TestAModuleThatPosesAsAnother:
    @pytest.fixture
    def reader(self, as_orders: Any, rights: Rights, settings: Settings) -> Iterator[Reader]:
        assert as_orders
        found = Reader(rights, settings)
        yield found
        found.close()

    @pytest.fixture
    def attacker(self, rights: Rights) -> Iterator[Any]:
        """A channel with the login of web_bff alone."""
        with connect(rights.urls["web_bff"]) as connection:
            yield connection.channel()

    @pytest.mark.parametrize("says_who_it_is", [True, False])
    def test_by_dead_lettering_is_refused(
        self, reader: Reader, attacker: Any, rights: Rights, *, says_who_it_is: bool
    ) -> None:
        queue = f"{rights.prefix}web_bff.inbox.77"
        arguments = {
            "x-dead-letter-exchange": rights.exchange,
            "x-dead-letter-routing-key": "users.all.7",
            "x-message-ttl": 0,
        }
        attacker.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
        attacker.queue_bind(queue, rights.exchange, "*.web_bff.7")
        own = f"{rights.prefix}web_bff" if says_who_it_is else None
        attacker.basic_publish_confirm(forged(user_id=own), rights.exchange, "web_bff.web_bff.7")
        reader.wait_for(1)
        attacker.queue_delete(queue)
        assert reader.admitted == []
        assert list(reader.refused) == ["it was dead-lettered by another queue"]

    def test_by_a_carbon_copy_is_refused(self, reader: Reader, attacker: Any, rights: Rights) -> None:
        message = forged(CC=["users.all.7"])
        attacker.basic_publish_confirm(message, rights.exchange, "web_bff.web_bff.7")
        reader.wait_for(1)
        assert reader.admitted == []
        assert list(reader.refused) == ["it does not name the login of its sender"]

    def test_by_a_carbon_copy_under_its_own_name_is_not_accepted(
        self, reader: Reader, attacker: Any, rights: Rights
    ) -> None:
        message = forged(user_id=f"{rights.prefix}web_bff", CC=["users.all.7"])
        attacker.basic_publish_confirm(message, rights.exchange, "web_bff.web_bff.7")
        reader.wait_for(1)
        ((routing_key, body),) = reader.admitted
        assert routing_key == "web_bff.web_bff.7"
        with capture_logs() as logged:
            assert consume.receive("orders", body, sender="web_bff") == []
        ((event, reason),) = [(line["event"], line["reason"]) for line in logged]
        assert event == "batch refused"
        assert reason.startswith("its source is ")

    def test_by_another_login_is_refused_by_the_server(self, attacker: Any, rights: Rights) -> None:
        with pytest.raises(amqp.PreconditionFailed):
            attacker.basic_publish_confirm(
                forged(user_id=f"{rights.prefix}users"), rights.exchange, "web_bff.web_bff.7"
            )

    def test_is_not_what_users_itself_sends(self, reader: Reader, rights: Rights, settings: Settings) -> None:
        settings.PANGAEA = declared_for(rights.urls["users"], rights.prefix)
        users = celery_app.make_app(settings.PANGAEA)
        sending.send(users, admission.DELIVER, [("users.all.7", b"{}")])
        users.close()
        reader.wait_for(1)
        assert reader.admitted == [("users.all.7", b"{}")]
        assert reader.refused == {}
