"""Nothing is sent to a broker, database or management API before a known authority vouches for the URL's host."""

import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from celery import Celery
from django.conf import settings as django_settings
from django.core.cache import caches
from django.db import DEFAULT_DB_ALIAS
from kombu.exceptions import OperationalError
from pytest_django import Settings

from pangaea import caching
from pangaea.broker import celery_app, sending, topology
from pangaea.broker.management_api import Management
from pangaea.configuration.declared import Declared
from pangaea.databases import entries
from pangaea.errors import Misconfigured
from pangaea.health import readiness
from pangaea.testing import free_port, wait_until
from pangaea.testing.availability import unavailable
from tests import rabbit_node, tls_front

ADDRESS = "127.0.0.1"
NAME_MISMATCH = "certificate is not valid for"
UNKNOWN_AUTHORITY = "certificate verify failed"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates for a server at this address, for one called localhost, and for one elsewhere."""
    return tls_front.certificates(
        tmp_path_factory.mktemp("servers"), address=(ADDRESS,), named=("localhost",), elsewhere=("mq.example",)
    )


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of another authority, one for a server at this address."""
    return tls_front.certificates(tmp_path_factory.mktemp("strangers"), address=(ADDRESS,))


def broker(url: str, authorities: Path | None) -> Celery:
    """The bus of a deployment with that BROKER_URL, and that folder's authority as BROKER_CA."""
    return celery_app.make_app(declared(url, authorities))


def declared(url: str, authorities: Path | None) -> Declared:
    ca = str(authorities / "ca.crt") if authorities else ""
    return replace(django_settings.PANGAEA, broker_url=url, broker_ca=ca, broker_prefix=f"t{secrets.token_hex(4)}.")


def secured(url: str, port: int, *, host: str = ADDRESS) -> str:
    """The URL with TLS, at another port."""
    address = urlsplit(url)
    user = address.netloc.rpartition("@")[0]
    return f"{address.scheme}s://{user}{'@' if user else ''}{host}:{port}{address.path}"


@pytest.fixture(params=["rabbitmq", "redis"])
def plain_url(request: pytest.FixtureRequest) -> str:
    """A broker without TLS."""
    url: str = request.getfixturevalue("amqp_url" if request.param == "rabbitmq" else "redis_url")
    return url


class TestABrokerBehindTLS:
    def test_is_reached_under_its_name(
        self, plain_url: str, certificates: Path, settings: Settings, request: pytest.FixtureRequest
    ) -> None:
        with tls_front.before(plain_url, 5672, certificate=certificates / "address.crt") as port:
            settings.PANGAEA = declared(secured(plain_url, port), certificates)
            app = celery_app.make_app(settings.PANGAEA)
            request.addfinalizer(app.pool.force_close_all)
            readiness.ask_broker(app)
            topology.declare(app)
            sending.send(app, "pangaea.deliver", [("nothing.all.0", b"{}")])

    def test_is_refused_under_another_name(self, plain_url: str, certificates: Path) -> None:
        with tls_front.before(plain_url, 5672, certificate=certificates / "elsewhere.crt") as port:
            app = broker(secured(plain_url, port), certificates)
            with pytest.raises(OperationalError, match=NAME_MISMATCH):
                readiness.ask_broker(app)
            with pytest.raises(OperationalError, match=NAME_MISMATCH):
                sending.send(app, "pangaea.deliver", [("nothing.all.0", b"{}")])

    def test_is_refused_with_another_authority(self, plain_url: str, certificates: Path, stranger: Path) -> None:
        with tls_front.before(plain_url, 5672, certificate=stranger / "address.crt") as port:
            for authorities in (certificates, None):
                with pytest.raises(OperationalError, match=UNKNOWN_AUTHORITY):
                    readiness.ask_broker(broker(secured(plain_url, port), authorities))

    def test_has_its_own_name_at_each_host_of_a_cluster(self, plain_url: str, certificates: Path) -> None:
        with tls_front.before(plain_url, 5672, certificate=certificates / "address.crt") as port:
            first, second = (secured(plain_url, each, host=host) for each, host in ((1, "localhost"), (port, ADDRESS)))
            readiness.ask_broker(broker(f"{first};{second}", certificates))

    def test_may_be_called_localhost(self, plain_url: str, certificates: Path) -> None:
        with tls_front.before(plain_url, 5672, certificate=certificates / "named.crt") as port:
            app = broker(secured(plain_url, port, host="localhost"), certificates)
            with app.connection_for_write() as connection:
                connection.connect()
                connection.collect()
                connection.connect()


class TestACacheBehindTLS:
    def test_is_used_under_its_name_alone(
        self, redis_url: str, certificates: Path, stranger: Path, settings: Settings
    ) -> None:
        self.use(redis_url, certificates / "address.crt", certificates, settings)
        for shown, reason in (
            (certificates / "elsewhere.crt", NAME_MISMATCH),
            (stranger / "address.crt", UNKNOWN_AUTHORITY),
        ):
            caching.forget_outage()
            with pytest.raises(caching.CacheUnavailable, match=reason):
                self.use(redis_url, shown, certificates, settings)

    @staticmethod
    def use(redis_url: str, shown: Path, certificates: Path, settings: Settings) -> None:
        """Write to the cache behind a server that shows this certificate."""
        with tls_front.before(redis_url, 6379, certificate=shown) as port:
            url, authorities = secured(redis_url, port), str(certificates / "ca.crt")
            configuration = replace(settings.PANGAEA, cache_url=url, cache_ca=authorities, cache_prefix="tls.")
            settings.CACHES = caching.configure(configuration)
            assert caching.asked(lambda: caches["default"].set("key", 1, 10))


@pytest.fixture(scope="module")
def secured_node(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[rabbit_node.Node]:
    with rabbit_node.for_a_test(
        tmp_path_factory.mktemp("secured"), management=True, certificate=certificates / "address.crt"
    ) as node:
        yield node


@pytest.mark.full
class TestARabbitMQNodeWithTLS:
    def test_is_reached_under_its_name_alone(
        self, secured_node: rabbit_node.Node, certificates: Path, stranger: Path
    ) -> None:
        assert secured_node.secured_url
        readiness.ask_broker(broker(secured_node.secured_url, certificates))
        with pytest.raises(OperationalError, match=UNKNOWN_AUTHORITY):
            readiness.ask_broker(broker(secured_node.secured_url, stranger))
        # The node listens at every loopback address, and its certificate names one.
        with pytest.raises(OperationalError, match=NAME_MISMATCH):
            readiness.ask_broker(broker(secured_node.secured_url.replace(ADDRESS, "127.0.0.2"), certificates))

    def test_that_falls_silent_holds_no_sender(
        self, secured_node: rabbit_node.Node, certificates: Path, settings: Settings
    ) -> None:
        assert secured_node.secured_url
        settings.PANGAEA = declared(secured_node.secured_url, certificates)
        app = celery_app.make_app(settings.PANGAEA)
        topology.declare(app)
        try:
            sending.send(app, "pangaea.deliver", [("nothing.all.0", b"{}")], seconds=2)
            with secured_node.frozen(), pytest.raises(OperationalError):
                sending.send(app, "pangaea.deliver", [("nothing.all.0", b"{}")], seconds=2)
        finally:
            app.pool.force_close_all()

    def test_has_a_management_api_that_is_verified(
        self, secured_node: rabbit_node.Node, certificates: Path, stranger: Path
    ) -> None:
        assert secured_node.secured_management
        ca = str(certificates / "ca.crt")
        assert Management(secured_node.secured_management, authorities=ca).call("GET", "whoami")["name"] == "guest"
        with pytest.raises(Misconfigured, match=UNKNOWN_AUTHORITY):
            Management(secured_node.secured_management, authorities=str(stranger / "ca.crt")).call("GET", "whoami")
        other = secured_node.secured_management.replace(ADDRESS, "127.0.0.2")
        with pytest.raises(Misconfigured, match=NAME_MISMATCH):
            Management(other, authorities=ca).call("GET", "whoami")


@pytest.fixture(scope="module")
def secured_redis_port(certificates: Path) -> Iterator[int]:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        unavailable("a Redis server with TLS", "none is installed", remedy="Debian: apt-get install redis-server")
    port = free_port()
    files = {"cert": "address.crt", "key": "address.key", "ca-cert": "ca.crt"}
    options = [word for name, file in files.items() for word in (f"--tls-{name}-file", str(certificates / file))]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", "--save", "", *options],
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
        try:
            wait_until(lambda: process.poll() is not None or _listens(port), what="Redis to listen")
            yield port
        finally:
            process.terminate()
            process.wait(timeout=10)


@pytest.mark.full
class TestARedisServerWithTLS:
    def test_is_reached_under_its_name_alone(self, secured_redis_port: int, certificates: Path, stranger: Path) -> None:
        readiness.ask_broker(broker(f"rediss://{ADDRESS}:{secured_redis_port}/0", certificates))
        with pytest.raises(OperationalError, match=UNKNOWN_AUTHORITY):
            readiness.ask_broker(broker(f"rediss://{ADDRESS}:{secured_redis_port}/0", stranger))
        with pytest.raises(OperationalError, match=NAME_MISMATCH):
            readiness.ask_broker(broker(f"rediss://127.0.0.2:{secured_redis_port}/0", certificates))


class TestAPostgreSQLServerBehindTLS:
    """A TLS front before a server without TLS; connections begin with TLS (sslnegotiation=direct)."""

    def test_is_reached_under_its_name_alone(self, postgres_url: str, certificates: Path, stranger: Path) -> None:
        def is_encrypted(host: str, authorities: Path, port: int) -> bool:
            address = urlsplit(postgres_url)
            user = address.netloc.rpartition("@")[0]
            query = f"sslmode=verify-full&sslrootcert={authorities}/ca.crt&sslnegotiation=direct"
            url = f"postgres://{user}@{host}:{port}{address.path}?{query}"
            options = entries.configure({DEFAULT_DB_ALIAS: url})[DEFAULT_DB_ALIAS]["OPTIONS"]
            verified = {name: value for name, value in options.items() if name.startswith("ssl")}
            with closing(psycopg.connect(url.partition("?")[0], **verified)) as connection:
                return bool(connection.pgconn.ssl_in_use)

        with tls_front.before(postgres_url, 5432, certificate=certificates / "address.crt") as port:
            assert is_encrypted(ADDRESS, certificates, port)
            with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
                is_encrypted(ADDRESS, stranger, port)
            with pytest.raises(psycopg.OperationalError, match="does not match host name"):
                is_encrypted("localhost", certificates, port)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((ADDRESS, port)) == 0
