"""Any text of a URL connects, fails as a connection fails, or is refused by name; nothing else can happen.

The texts go through what a start goes through: the configuration of a profile, the entry in DATABASES or the Celery
app, and a connection to real servers and closed ports.
"""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connections
from django.db.utils import load_backend
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from kombu.exceptions import OperationalError as BrokerError
from pytest_django import DjangoDbBlocker

from pangaea.addresses import broker, http, options, parameters, postgresql
from pangaea.addresses.broker import Broker
from pangaea.broker import celery_app
from pangaea.databases import entries
from pangaea.errors import Misconfigured
from pangaea.identity.remote_keys import fetch
from pangaea.testing import free_port
from tests.kernel.configuration.test_settings import GOOD, problems

QUICK = settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
LONG = settings(deadline=None, max_examples=3000, suppress_health_check=list(HealthCheck))
CLOSED = f"127.0.0.1:{free_port()}"
KNOWN = {"127.0.0.1", "::1", "/nowhere", "localhost"}
"""Hosts that are tried. Others would wait for a name server."""

odd = st.text(alphabet="aZ1:/?#%@&=+,;[]'\" \\.-_*é\u00a0\u200b\ud800\x00\n", max_size=8)
escaped = st.sampled_from(["%2F", "%40", "%00", "%FF", "%C3%A9", "%25", "%3B", "%20"])
words = st.one_of(st.sampled_from(["u", "shop", "guest", ""]), odd, escaped)
logins = st.one_of(st.just(""), words.map("{}@".format), st.builds("{}:{}@".format, words, words))
hosts = st.one_of(st.sampled_from([CLOSED, "127.0.0.1", "[::1]:1", "%2Fnowhere", "127.0.0.1:0", ""]), odd)
values = st.one_of(
    st.sampled_from(["1", "0", "3", "disable", "require", "prefer", "any", "read-write", "system", "127.0.0.1", "3.0"]),
    st.sampled_from([f"-c%20{name}%3D1" for name in ("work_mem", "statement_timeout", *options.RESERVED)]),
    odd,
    escaped,
)
names = st.one_of(
    st.sampled_from([*parameters.ALLOWED, "user", "ATOMIC_REQUESTS", "service", "connection_timeout", "ssl_cert_reqs"]),
    odd,
)
ACCEPTED = {
    "target_session_attrs": ["any", "read-write", "primary"],
    "load_balance_hosts": ["random"],
    "connect_timeout": ["1", "86400"],
    "keepalives": ["0"],
    "keepalives_count": ["100"],
    "tcp_user_timeout": ["0", "86400000"],
    "application_name": ["a%20b", "%C3%A9", "%27"],
    "require_auth": ["scram-sha-256", "!none", "password,md5"],
    "channel_binding": ["disable", "require"],
    "sslmode": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
    "sslnegotiation": ["direct"],
    "sslrootcert": ["system", "%2Fnowhere"],
    "ssl_min_protocol_version": ["TLSv1.3"],
    "ssl_max_protocol_version": ["TLSv1.1"],
    "min_protocol_version": ["3.2", "latest"],
    "max_protocol_version": ["3.0"],
    "requirepeer": ["root"],
    "gssencmode": ["disable", "prefer"],
    "options": [
        "-c%20statement_timeout%3D5s",
        "-c%20no_such%3D1",
        "--work-mem=x",
        "-cwork_mem=3MB",
        "-c%20a.b%3D%C3%A9",
    ],
}
"""Values that are understood, whether or not they can work together or at this server."""
pairs = [f"{name}={value}" for name, samples in ACCEPTED.items() for value in samples]
accepted = st.lists(st.sampled_from(pairs), max_size=3, unique_by=lambda pair: pair.partition("=")[0]).map("&".join)
queries = st.lists(st.builds("{}={}".format, names, values), max_size=3).map("&".join)
endings = st.one_of(st.just(""), queries.map("?{}".format), odd)


def url(scheme: str, login: str, servers: list[str], path: str, ending: str) -> str:
    return f"{scheme}://{login}{','.join(servers)}{path}{ending}"


def read(text: str) -> str:
    """The text as the environment reads it: without line breaks at its end."""
    return text.rstrip("\r\n")


def refusals(name: str, text: str) -> list[str]:
    """The problems of a variable that `config check` names. There are no others."""
    found = problems(GOOD | {name: text, "UNVERIFIED_HOSTS": "nowhere"}, "monolith")
    assert all(problem.startswith(f"{name} ") for problem in found)
    return [problem for problem in found if "without verified TLS" not in problem]


@pytest.fixture(scope="module")
def login(postgres_url: str) -> postgresql.PostgreSQL:
    return postgresql.parse(postgres_url)


@pytest.fixture(scope="module")
def servers(amqp_url: str, redis_url: str) -> list[str]:
    """The URLs of two running brokers."""
    return [amqp_url, redis_url]


@pytest.fixture(autouse=True)
def unblocked(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


class TestAnyUrlOfADatabase:
    """With the server of the tests among the hosts, so that some connections succeed."""

    def check(self, text: str) -> bool | None:
        """Whether it connects; None if it is refused."""
        if refusals("DATABASE_URL", text):
            with pytest.raises(Misconfigured):
                postgresql.role_of(postgresql.parse(text).database, "web_bff")
            return None
        address = postgresql.parse(text)
        entry = connections.configure_settings(entries.configure({"default": text}))["default"]
        if not KNOWN.issuperset(address.hosts) or "hostaddr" in address.parameters:
            return None
        backend = load_backend(entry["ENGINE"]).DatabaseWrapper(entry, "default")
        with suppress(psycopg.OperationalError):
            psycopg.connect(**{"connect_timeout": 1, **address.libpq()}).close()  # as an administrator's command does
        with closing(backend):
            try:
                backend.ensure_connection()
            except OperationalError:
                return False
        return True

    def text(self, data: Any, login: postgresql.PostgreSQL) -> str:
        real = f"{login.user}:{login.password}@"
        server = f"{login.host}:{login.port}"
        if data.draw(st.booleans()):
            servers = data.draw(st.lists(st.sampled_from([CLOSED, server, "[::1]:1"]), min_size=1, max_size=3))
            return url("postgres", real, servers, "/postgres", f"?{data.draw(accepted)}")
        return url(
            data.draw(st.sampled_from(["postgres", "postgresql", "psql", "POSTGRES", "mysql", "sqlite", ""])),
            data.draw(st.one_of(st.just(real), st.just(real), logins)),
            data.draw(st.lists(st.one_of(st.just(server), hosts), min_size=1, max_size=3)),
            data.draw(st.one_of(st.just("/postgres"), words.map("/{}".format))),
            data.draw(endings),
        )

    @QUICK
    @given(data=st.data())
    def test_connects_or_is_refused(self, data: Any, login: postgresql.PostgreSQL) -> None:
        event(f"connects: {self.check(read(self.text(data, login)))}")

    @pytest.mark.soak
    @LONG
    @given(data=st.data())
    def test_connects_or_is_refused_in_a_long_search(self, data: Any, login: postgresql.PostgreSQL) -> None:
        event(f"connects: {self.check(read(self.text(data, login)))}")

    @pytest.mark.parametrize("query", ["", "?target_session_attrs=read-write&application_name=%20", "?sslmode=prefer"])
    def test_of_a_running_server_connects(self, query: str, login: postgresql.PostgreSQL) -> None:
        server = f"{login.host}:{login.port}"
        assert self.check(url("postgres", f"{login.user}:{login.password}@", [CLOSED, server], "/postgres", query))


class TestAnyUrlOfABroker:
    def check(self, text: str) -> bool | None:
        """Whether it connects; None if it is refused."""
        if refusals("BROKER_URL", text):
            return None
        address = broker.parse(text)
        app = celery_app.make_app(replace(django_settings.PANGAEA, broker_url=text))
        return self._connects(app, address) if KNOWN.issuperset(each.host for each in address.servers) else None

    def _connects(self, app: Any, address: Broker) -> bool:
        limits = {} if address.is_rabbitmq else {"socket_connect_timeout": 2, "socket_timeout": 2}
        transport = {**app.conf.broker_transport_options, **limits}
        with app.connection_for_write(connect_timeout=2, transport_options=transport) as connection:
            try:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=2)
            except (BrokerError, *connection.connection_errors, *connection.channel_errors):
                return False
        return True

    def text(self, data: Any, servers: list[str]) -> str:
        return data.draw(  # type: ignore[no-any-return] # hypothesis' data has no types
            st.one_of(
                st.sampled_from(servers),
                st.builds("{}{}".format, st.sampled_from(servers), endings),
                st.builds(
                    url,
                    st.sampled_from(["amqp", "redis", "amqps", "rediss"]),
                    st.sampled_from(["", "u:p@", "guest:guest@", ":p@", "u@", "%40:%2F%3B@"]),
                    st.sampled_from([CLOSED, "127.0.0.1", "[::1]", "localhost"]).map(lambda each: [each]),
                    st.sampled_from(["", "/", "//", "/0", "/15", "/%2F", "/a%2Fb", "/99999"]),
                    st.just(""),
                ),
                st.lists(
                    st.builds(
                        url,
                        st.sampled_from(["amqp", "redis", "amqps", "rediss", "AMQP", "sentinel", "unix", "memory"]),
                        logins,
                        st.lists(hosts, min_size=1, max_size=2),
                        st.one_of(st.sampled_from(["", "/", "//", "/0", "/%2F"]), words.map("/{}".format)),
                        endings,
                    ),
                    min_size=1,
                    max_size=2,
                ).map(";".join),
            )
        )

    @QUICK
    @given(data=st.data())
    def test_connects_or_is_refused(self, data: Any, servers: list[str]) -> None:
        event(f"connects: {self.check(read(self.text(data, servers)))}")

    @pytest.mark.soak
    @LONG
    @given(data=st.data())
    def test_connects_or_is_refused_in_a_long_search(self, data: Any, servers: list[str]) -> None:
        event(f"connects: {self.check(read(self.text(data, servers)))}")

    def test_of_a_running_server_connects(self, servers: list[str]) -> None:
        assert all(map(self.check, servers))


class TestAnyUrlOfAKeySet:
    texts = st.builds(
        url,
        st.sampled_from(["http", "https", "HTTP", "ftp"]),
        logins,
        st.lists(hosts, min_size=1, max_size=2),
        words.map("/{}".format),
        endings,
    )

    @QUICK
    @given(text=texts)
    def test_is_requested_or_is_refused(self, text: str) -> None:
        if refusals("JWKS_URL", text):
            return
        address = http.parse(read(text), example="")
        if address.host in KNOWN:
            with pytest.raises(OSError, match=r".*"):
                fetch(address.text)
