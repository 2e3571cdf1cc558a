"""A real service under mutual TLS, and callers with every kind of certificate."""

import io
import secrets
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from django.core.management import call_command
from joserfc.jwk import ECKey

from pangaea.testing import free_port, wait_until
from tests.processes import MANAGE, START_SECONDS, Process, Workspace

HOST = "127.0.0.1"


def make_certificates(folder: Path, *, rotate: bool = False) -> Path:
    """Certificates for every module, made by `manage.py certs`."""
    call_command("certs", directory=folder, rotate=rotate, stdout=io.StringIO())
    return folder


def tls(folder: Path, module: str) -> dict[str, str]:
    """The settings of a module's service with the certificates in this folder."""
    return {
        "TLS_CERTIFICATE": str(folder / f"{module}.crt"),
        "TLS_KEY": str(folder / f"{module}.key"),
        "TLS_CA": str(folder / "ca.crt"),
    }


def context(folder: Path, name: str | None, *, trusting: Path | None = None) -> ssl.SSLContext:
    """A caller's TLS context: it shows the certificate of this name, or none, and trusts the service's authority."""
    made = ssl.create_default_context(cafile=(trusting or folder) / "ca.crt")
    if name:
        made.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return made


@dataclass(frozen=True)
class Service:
    """A running web process and its address."""

    module: str
    url: str
    certificates: Path
    process: Process
    workspace: Workspace
    secured: bool = True

    def client(self, name: str | None = "gateway", *, certificates: Path | None = None) -> httpx.Client:
        """An HTTP client with the certificate of this name, by default from the service's own authority."""
        if not self.secured:
            return httpx.Client(base_url=self.url, trust_env=False, timeout=10)
        verify = context(certificates or self.certificates, name, trusting=self.certificates)
        return httpx.Client(base_url=self.url, verify=verify, trust_env=False, timeout=10)

    def wait_for_answer(self, client: httpx.Client) -> None:
        """Wait until the service answers this caller, be it with a refusal."""

        def answers() -> bool:
            self.process.check()
            try:
                return client.get("/livez").status_code > 0
            except httpx.TransportError:
                return False

        wait_until(answers, what=f"{self.module} to answer", seconds=START_SECONDS)

    def wait_for_line(self, text: str) -> None:
        """Wait until the service's log contains this text."""
        wait_until(lambda: text in self.process.tail, what=f"{text!r} in the log")


def settings_of(
    module: str, certificates: Path, *, signing_key: ECKey | None = None, secured: bool = True
) -> dict[str, str]:
    """A service's environment. Its broker and database do not exist: callers are checked before either is used."""
    return {
        "DJANGO_SETTINGS_MODULE": "pangaea.settings.service",
        "PANGAEA_MODULES": module,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": HOST,
        "SECURE_COOKIES": "false",
        "BROKER_URL": "amqp://127.0.0.1:1//",
        f"{module.upper()}_DATABASE_URL": "postgres://unused:unused@127.0.0.1:1/nothing",
        **(tls(certificates, module) if secured else {}),
        **({"SIGNING_KEY": signing_key.as_pem(private=True).decode()} if signing_key else {}),
    }


@contextmanager
def running(
    module: str,
    space: Workspace,
    *,
    certificates: Path,
    environment: Mapping[str, str],
    signing_key: ECKey | None = None,
    threads: int = 4,
    secured: bool = True,
) -> Iterator[Service]:
    """Hold a service's web process; it answers /livez when the context begins, whatever its database does.

    Without `secured` it uses plain HTTP.
    """
    port = free_port()
    own = {**settings_of(module, certificates, signing_key=signing_key, secured=secured), **environment}
    command = (*MANAGE, "web", "--bind", f"{HOST}:{port}", "--threads", str(threads))
    process = space.start(f"{module}-web", command, own)
    url = f"{'https' if secured else 'http'}://{HOST}:{port}"
    service = Service(module, url, certificates, process, space, secured=secured)
    with service.client() as gateway:
        service.wait_for_answer(gateway)
    try:
        yield service
    finally:
        process.stop()
