"""What an administrator does by RabbitMQ's management API, without root and without rabbitmqctl."""

import base64
import io
import json
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import amqp
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from pangaea import modules
from pangaea.broker import permissions, topology
from pangaea.broker.management_api import Management
from pangaea.errors import Misconfigured
from pangaea.servers import rabbitmq
from pangaea.servers.errors import Unavailable
from pangaea.testing import free_port
from tests.identity.test_broker_rights import connect, declared_for
from tests.rabbit_node import Node

SECRET = "s3cret/with#all?of:it@"
QUOTED = "s3cret%2Fwith%23all%3Fof%3Ait%40"


def apply(administrator: str, *arguments: str) -> str:
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ADMINISTRATOR_URL", administrator)
        call_command("permissions", "apply", "--rabbitmq", *arguments, stdout=output)
    return output.getvalue()


class TestTheAdministratorsUrl:
    def test_may_be_in_a_file(
        self, tmp_path: Path, passwords: dict[str, str], monkeypatch: pytest.MonkeyPatch, settings: Settings
    ) -> None:
        assert passwords
        settings.PANGAEA = replace(settings.PANGAEA, broker_url="amqp://127.0.0.1//")
        file = tmp_path / "administrator"
        file.write_text("ftp://nowhere\n")
        monkeypatch.setenv("ADMINISTRATOR_URL_FILE", str(file))
        with pytest.raises(CommandError, match="management API"):
            call_command("permissions", "apply", "--rabbitmq")

    def test_is_not_taken_from_the_arguments(self) -> None:
        """Every account on a machine can read the arguments of its processes."""
        with pytest.raises(CommandError, match="unrecognized arguments"):
            call_command("permissions", "apply", "--rabbitmq", "--administrator=http://a:b@127.0.0.1")


def differences(administrator: str) -> str:
    """What `permissions check` names; empty if it passes."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ADMINISTRATOR_URL", administrator)
        try:
            call_command("permissions", "check", "--rabbitmq", stdout=io.StringIO())
        except CommandError as error:
            return str(error)
    return ""


def refusal(administrator: str, *arguments: str) -> str:
    """The message with which the command fails."""
    with pytest.raises(CommandError) as refused:
        apply(administrator, *arguments)
    return str(refused.value)


@pytest.fixture
def passwords(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A password in the environment for each module's user; and rabbitmqctl cannot be found."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(permissions, "ADMINISTRATION", ())
    found = {label: secrets.token_hex(16) for label in modules.labels()}
    for label, password in found.items():
        monkeypatch.setenv(permissions.password_variable(label), password)
    return found


@contextmanager
def web_server(answer: Callable[[BaseHTTPRequestHandler], None], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Hold a web server that is not RabbitMQ's. Yields its host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer(self)

        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def send_elsewhere(address: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", f"http://{address}/")
        handler.end_headers()

    return answer


@pytest.mark.usefixtures("passwords")
class TestAnUnusableAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "mq.example:15672",
            f"amqp://guest:{QUOTED}@127.0.0.1:5672//",
            f"ftp://guest:{QUOTED}@127.0.0.1:15672",
            f"http://guest:{QUOTED}@127.0.0.1:15672/?vhost=shop",
            f"http://guest:{QUOTED}@127.0.0.1:port",
            f"http://guest:{QUOTED}@:15672",
            "http://127.0.0.1:15672",
            "http://guest@127.0.0.1:15672",
            f"http://guest:{SECRET}@127.0.0.1:15672",
        ],
    )
    def test_is_refused_with_an_example_of_a_usable_one(self, url: str) -> None:
        printed = refusal(url, "--vhost=/")
        assert "http(s)://USER:PASSWORD@HOST:15672" in printed
        assert "s3cret" not in printed

    def test_is_one_that_does_not_answer(self) -> None:
        port = free_port()
        printed = refusal(f"http://guest:{QUOTED}@127.0.0.1:{port}", "--vhost=/")
        assert f"does not answer at 127.0.0.1:{port}" in printed
        assert "rabbitmq-plugins enable rabbitmq_management" in printed
        assert "s3cret" not in printed

    def test_is_one_that_speaks_amqp(self, amqp_url: str) -> None:
        address = urlsplit(amqp_url)
        printed = refusal(f"http://guest:{QUOTED}@{address.hostname}:{address.port or 5672}", "--vhost=/")
        assert "15672, where AMQP's is 5672" in printed
        assert "s3cret" not in printed

    def test_is_one_of_another_web_server(self) -> None:
        with web_server(lambda handler: handler.send_error(404)) as address:
            printed = refusal(f"http://guest:{QUOTED}@{address}", "--vhost=/")
        assert f"The server at {address} is not RabbitMQ's management API: 404 to POST /api/definitions" in printed
        assert "s3cret" not in printed

    def test_is_refused_when_it_redirects(self) -> None:
        """The administrator's password is not sent to another server."""
        received: list[object] = []
        with (
            web_server(lambda handler: received.append(handler.headers)) as other,
            web_server(send_elsewhere(other)) as address,
        ):
            printed = refusal(f"http://guest:{QUOTED}@{address}", "--vhost=/")
        assert "307 to POST" in printed
        assert not received


@pytest.mark.usefixtures("passwords")
class TestAnAddressWithTls:
    def test_is_trusted_only_with_a_certificate_of_a_known_authority(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call_command("certs", directory=tmp_path, stdout=io.StringIO())
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(tmp_path / "edge.crt", tmp_path / "edge.key")
        received: list[object] = []

        def answer(handler: BaseHTTPRequestHandler) -> None:
            received.append(handler.headers["Authorization"])
            handler.send_response(204)
            handler.end_headers()

        with web_server(answer, tls) as address:
            printed = refusal(f"https://guest:{QUOTED}@{address}", "--vhost=/")
            assert "CERTIFICATE_VERIFY_FAILED" in printed
            assert "BROKER_CA" in printed
            assert not received
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
            apply(f"https://guest:{QUOTED}@{address}", "--vhost=/")
        assert received == [f"Basic {base64.b64encode(f'guest:{SECRET}'.encode()).decode()}"]


@pytest.mark.full
class TestPermissionsAppliedByTheManagementApi:
    @pytest.fixture
    def server(self, managed_rabbit: Node, settings: Settings) -> Iterator[str]:
        """The administrator's URL; the virtual host is that of the broker in the settings."""
        prefix = f"t{secrets.token_hex(4)}."
        with rabbitmq.virtual_host(managed_rabbit.url) as url:
            settings.PANGAEA = declared_for(url, prefix)
            yield rabbitmq.management_url(managed_rabbit.url)
        for user in (permissions.user_of(settings.PANGAEA, label) for label in modules.labels()):
            if user in users(managed_rabbit):
                manage(managed_rabbit).call("DELETE", "users", user)

    def test_give_every_module_its_own_rights_only(
        self, server: str, settings: Settings, passwords: dict[str, str]
    ) -> None:
        assert "RabbitMQ has a user for each of" in apply(server)
        declared = settings.PANGAEA
        for label, password in passwords.items():
            user = permissions.user_of(declared, label)
            with connect(as_user(declared.broker_url, user, password)) as connection:
                connection.channel().queue_declare(f"{user}.inbox.0of1", durable=True)
                with pytest.raises(amqp.AccessRefused):
                    connection.channel().queue_declare(f"{user}.outbox.0", durable=True)

    def test_may_be_applied_again_with_other_passwords(
        self, server: str, settings: Settings, passwords: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        apply(server)
        monkeypatch.setenv("ORDERS_BROKER_PASSWORD", "another")
        apply(server)
        declared = settings.PANGAEA
        user = permissions.user_of(declared, "orders")
        connect(as_user(declared.broker_url, user, "another")).close()
        with pytest.raises(amqp.AccessRefused):
            connect(as_user(declared.broker_url, user, passwords["orders"]))

    def test_are_compared_with_what_the_server_has(
        self, managed_rabbit: Node, server: str, settings: Settings, passwords: dict[str, str]
    ) -> None:
        assert passwords
        declared = settings.PANGAEA
        user, exchange = permissions.user_of(declared, "orders"), topology.exchange(declared).name
        host = permissions.virtual_host_of(declared)
        assert f"There is no user {user}." in differences(server)
        apply(server)
        assert differences(server) == ""
        everything = json.dumps({"configure": ".*", "write": ".*", "read": ".*"})
        manage(managed_rabbit).call("PUT", "permissions", host, user, document=everything)
        manage(managed_rabbit).call("DELETE", "topic-permissions", host, user)
        manage(managed_rabbit).call("DELETE", "exchanges", host, exchange)
        other = json.dumps({"type": "direct", "durable": True, "auto_delete": False})
        manage(managed_rabbit).call("PUT", "exchanges", host, exchange, document=other)
        text = differences(server)
        assert f"The permissions of {user} to write are '.*' instead of" in text
        assert f"The user {user} has no topic permissions in {host}." in text
        unrepaired = f"The exchange {exchange} has type 'direct' instead of 'topic'"
        assert unrepaired in text
        assert unrepaired in refusal(server), "an import leaves it unchanged"

    def test_of_a_second_login_leave_the_first_unchanged(
        self,
        managed_rabbit: Node,
        server: str,
        passwords: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
        settings: Settings,
    ) -> None:
        declared = settings.PANGAEA
        first = permissions.user_of(declared, "orders")
        apply(server)
        monkeypatch.delenv(permissions.password_variable("orders"))
        monkeypatch.setenv("ORDERS_BROKER_PASSWORD_2", "the second")
        apply(server)
        try:
            connect(as_user(declared.broker_url, first, passwords["orders"])).close()
            connect(as_user(declared.broker_url, f"{first}-2", "the second")).close()
            rights = definitions(managed_rabbit)["topic_permissions"]
            of = {each["user"]: {**each, "user": ""} for each in rights}
            assert of[first] == of[f"{first}-2"]
        finally:
            manage(managed_rabbit).call("DELETE", "users", f"{first}-2")

    @pytest.mark.usefixtures("passwords")
    def test_are_refused_to_a_wrong_password(self, managed_rabbit: Node, server: str) -> None:
        before = definitions(managed_rabbit)
        printed = refusal(server.replace("guest:guest", f"guest:{QUOTED}"))
        assert "refuses guest (Login failed)" in printed
        assert "s3cret" not in printed
        assert definitions(managed_rabbit) == before

    @pytest.mark.usefixtures("passwords")
    @pytest.mark.parametrize("tags", ["", "monitoring", "management"])
    def test_are_refused_to_a_user_who_is_no_administrator(self, managed_rabbit: Node, server: str, tags: str) -> None:
        with account(managed_rabbit, tags) as name:
            before = definitions(managed_rabbit)
            printed = refusal(server.replace("guest:guest", f"{name}:{QUOTED}"))
            assert f"rabbitmqctl set_user_tags {name} administrator" in printed
            assert "s3cret" not in printed
            assert definitions(managed_rabbit) == before

    @pytest.mark.usefixtures("passwords")
    def test_are_accepted_from_any_administrator(self, managed_rabbit: Node, server: str) -> None:
        with account(managed_rabbit, "administrator") as name:
            assert "RabbitMQ has a user" in apply(server.replace("guest:guest", f"{name}:{QUOTED}"))

    def test_that_rabbitmq_cannot_read_are_refused_with_its_message(self, server: str) -> None:
        with pytest.raises(Misconfigured, match=r"refused POST /api/definitions \(400\): tags_not_present"):
            permissions.apply(json.dumps({"users": [{"name": "x"}]}), administrator=server)


@pytest.mark.full
class TestAVirtualHostForTests:
    def test_is_created_emptied_and_deleted_by_the_management_api(self, managed_rabbit: Node) -> None:
        with rabbitmq.virtual_host(managed_rabbit.url) as url:
            name = urlsplit(url).path.removeprefix("/")
            assert name in virtual_hosts(managed_rabbit)
            with connect(url) as connection:
                connection.channel().queue_declare("kept", durable=True, auto_delete=False)
            rabbitmq.wipe(url)
            with connect(url) as connection, pytest.raises(amqp.NotFound):
                connection.channel().queue_declare("kept", passive=True)
        assert name not in virtual_hosts(managed_rabbit)

    def test_has_users_that_are_deleted_with_it(self, managed_rabbit: Node) -> None:
        before = users(managed_rabbit)
        with rabbitmq.virtual_host(managed_rabbit.url) as url:
            declared = declared_for(url, f"t{secrets.token_hex(4)}.")
            with rabbitmq.module_users(declared, url) as urls:
                assert len(users(managed_rabbit)) == len(before) + len(urls)
                for each in urls.values():
                    connect(each).close()
        assert users(managed_rabbit) == before

    def test_is_not_created_by_a_user_who_is_no_administrator(self, managed_rabbit: Node) -> None:
        """Nor by rabbitmqctl, which would create it on another server: this machine's own."""
        with account(managed_rabbit, "management") as name:
            manage(managed_rabbit).call(
                *("PUT", "permissions", "/", name), document='{"configure": "", "write": "", "read": ""}'
            )
            url = managed_rabbit.url.replace("guest:guest", f"{name}:{QUOTED}")
            with pytest.raises(Unavailable, match=f"{name} is no administrator"), rabbitmq.virtual_host(url):
                pass


class TestTheManagementApiOfAServer:
    @pytest.mark.parametrize(
        ("server", "management"),
        [
            ("amqp://guest:guest@127.0.0.1:5672//", "http://guest:guest@127.0.0.1:15672"),
            ("amqp://mq.example", "http://guest:guest@mq.example:15672"),
            (f"amqp://me:{QUOTED}@mq.example:5673/shop", f"http://me:{QUOTED}@mq.example:15673"),
            (f"amqps://me:{QUOTED}@mq.example/shop", f"https://me:{QUOTED}@mq.example:15671"),
            ("amqp://me:x@[::1]:5672//", "http://me:x@[::1]:15672"),
        ],
    )
    def test_is_looked_for_where_rabbitmq_puts_it(self, server: str, management: str) -> None:
        assert rabbitmq.management_url(server) == management


def as_user(url: str, user: str, password: str) -> str:
    address = urlsplit(url)
    return f"amqp://{user}:{password}@{address.netloc.rpartition('@')[2]}{address.path}"


def manage(node: Node) -> Management:
    return Management(rabbitmq.management_url(node.url))


def users(node: Node) -> set[str]:
    return {each["name"] for each in manage(node).call("GET", "users")}


def virtual_hosts(node: Node) -> set[str]:
    return {each["name"] for each in manage(node).call("GET", "vhosts")}


def definitions(node: Node) -> Any:
    return manage(node).call("GET", "definitions")


@contextmanager
def account(node: Node, tags: str) -> Iterator[str]:
    """Hold an account at the node with these tags and the password SECRET. Yields its name."""
    name = f"stranger-{secrets.token_hex(4)}"
    manage(node).call("PUT", "users", name, document=json.dumps({"password": SECRET, "tags": tags}))
    try:
        yield name
    finally:
        manage(node).call("DELETE", "users", name)


@pytest.mark.usefixtures("passwords")
class TestAnAdministratorOnAnotherHost:
    def test_needs_tls(self, settings: Settings) -> None:
        printed = refusal(f"http://guest:{QUOTED}@mq.internal:15672", "--vhost=/")
        assert "ADMINISTRATOR_URL reaches mq.internal without verified TLS: use https://" in printed
        assert QUOTED not in printed

    def test_of_a_database_needs_verified_tls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ADMINISTRATOR_URL", f"postgresql://me:{QUOTED}@db.internal/postgres?sslmode=require")
        with pytest.raises(CommandError, match="sslmode is require, give the URL"):
            call_command("permissions", "apply", "--postgres")

    def test_may_be_accepted(self, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, unverified_hosts=("mq.invalid",))
        assert "does not answer at mq.invalid" in refusal(f"http://guest:{QUOTED}@mq.invalid:15672", "--vhost=/")
