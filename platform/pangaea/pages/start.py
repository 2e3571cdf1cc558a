"""The page at `/`: what runs here and where its parts are.

It names what the modules declare. A process shows its own modules; a gateway shows all of them, with a page that
`pangaea.gateway` renders from the same content.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse

from pangaea import modules
from pangaea.api.read_only import read_only
from pangaea.modules import ModuleConfig
from pangaea.pages import layout

OPERATOR = "operator"
PASSWORD = "pangaea-local"  # noqa: S105 - public on purpose: only where a deployment answers to loopback names alone


@dataclass(frozen=True, slots=True)
class ModuleLinks:
    """The addresses of one module's parts; None where a part is not for the readers of the page."""

    label: str
    title: str
    documents: str | None
    schema: str | None
    admin: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """An address beside the modules'."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class LogIn:
    """An account of the demo, with its public password."""

    role: str
    name: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPage:
    """The content of the page. `url` is the address for the walk; None: the one at which the browser has the page."""

    summary: str
    modules: Sequence[ModuleLinks]
    links: Sequence[Link]
    log_ins: Sequence[LogIn] = ()
    walk: Sequence[str] = ()
    url: str | None = None

    def html(self) -> str:
        """The page."""
        return layout.html("start", {"page": self})

    def as_dict(self) -> dict[str, Any]:
        """The same for clients, without the walk, which is for people."""
        return {
            "name": "Pangaea",
            "summary": self.summary,
            "modules": [asdict(each) for each in self.modules],
            "links": {each.name: each.address for each in self.links},
            "problems": "/problems/{code}",
            "log_ins": [asdict(each) for each in self.log_ins],
        }


def log_ins(installed: Iterable[ModuleConfig]) -> list[LogIn]:
    """The accounts that `seed_demo` makes with known passwords: the operator, and those that the modules declare."""
    accounts = (each for module in installed for each in module.demo_log_ins.items())
    return [LogIn("Operator", OPERATOR, PASSWORD), *(LogIn("Customer", *each) for each in accounts)]


def walk(chosen: Sequence[ModuleConfig]) -> list[str]:
    """Shell commands that try these of the installed modules, once URL is set to the address."""
    return [line for module in modules.upstream_first() if module in chosen for line in module.walk]


def of_this_process() -> StartPage:
    """The page of the modules that are installed here."""
    installed = modules.installed()
    return StartPage(
        summary=f"{_count(len(installed), 'module')} in this deployment.",
        modules=[
            ModuleLinks(
                label=module.label,
                title=str(module.verbose_name),
                documents=reverse("module-docs", args=[module.label]),
                schema=reverse("module-schema", args=[module.label]),
                admin=reverse("admin:app_list", args=[module.label]),
            )
            for module in installed
        ],
        links=[
            Link("The whole API", reverse("docs")),
            Link("OpenAPI document", reverse("schema")),
            Link("Admin", reverse("admin:index")),
            Link("Readiness", "/readyz"),
        ],
        log_ins=log_ins(installed) if settings.PANGAEA_IN_PROCESS else (),
        walk=walk(installed),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@read_only
def page(request: HttpRequest) -> HttpResponse:
    """The start page of this process."""
    found = of_this_process()
    return layout.answer(request, "start", {"page": found}, found.as_dict())


patterns: list[URLPattern] = [path("", page, name="start")]
