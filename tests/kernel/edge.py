"""Modules that nobody installed and services that say what reached them, for the tests of the gateway."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

from pangaea import modules
from pangaea.modules import ModuleConfig, Route

CONF = modules.project_root() / "gateway_conf"


def declare(label: str, *paths: str) -> ModuleConfig:
    """A module as the registry would hold it, that nobody installed."""
    package = ModuleType(f"sample.{label}")
    package.__path__ = [str(CONF)]
    declared = type(
        f"{label.title()}Config",
        (ModuleConfig,),
        {"name": package.__name__, "label": label, "routes": tuple(Route(path, urlconf="sample") for path in paths)},
    )
    config: ModuleConfig = declared(package.__name__, package)
    return config


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Services:
    """Three services that say who they are and what reached them."""

    def __init__(self) -> None:
        self.unready: set[str] = set()
        self.servers = {
            name: ThreadingHTTPServer(("127.0.0.1", 0), self._handler(name)) for name in ("shop", "stats", "store")
        }
        for server in self.servers.values():
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def _handler(self, name: str) -> type[BaseHTTPRequestHandler]:
        services = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {key.lower(): value for key, value in self.headers.items()}
                body = json.dumps({"service": name, "path": self.path, "headers": headers}).encode()
                refuses = self.path == "/readyz" and name in services.unready
                self.send_response(503 if refuses else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: Any) -> None:
                pass

        return Handler

    def close(self) -> None:
        for server in self.servers.values():
            server.shutdown()
            server.server_close()
