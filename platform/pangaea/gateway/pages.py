"""The pages at the gateway: one that leads to every module, which the gateway answers, and those that explain.

No service knows the others, so the start page is part of the gateway's configuration. Problems and deprecated versions
are explained by a service: a module's own by that module, the kernel's by any one that is ready.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence

from pangaea.api import versioning
from pangaea.gateway.addresses import Address
from pangaea.gateway.topologies import Topology
from pangaea.modules import ModuleConfig
from pangaea.pages import problems, start
from pangaea.pages.start import Link, ModuleLinks, StartPage

ANY = "any-module"
"""The cluster of all modules. No label has a dash."""
PATHS = "/|/(admin|api/docs|api/schema)/?"
"""The paths of the start page: those at which one process shows all of its modules."""


def start_page(topology: Topology, modules: Sequence[ModuleConfig], *, documents: bool, operators: bool) -> StartPage:
    """The page at the listener for operators, or at those for clients.

    Clients get links to the admins only where the operators' listener is on the loopback, as on a developer's machine.
    """
    admins = "" if operators or topology.operators == topology.listen else _operators_url(topology)
    plain = _loopback(topology.listen)
    return StartPage(
        summary=f"{len(modules)} modules behind this gateway, each a service of its own.",
        modules=[_links(module.label, str(module.verbose_name), admins, documents=documents) for module in modules],
        links=[Link("The gateway's health", "/healthz")],
        log_ins=start.log_ins(modules) if topology.demo else (),
        walk=() if operators and plain is None else start.walk(modules),
        url=plain and f"http://{plain}",
    )


def _links(label: str, title: str, admins: str | None, *, documents: bool) -> ModuleLinks:
    """`admins` is the beginning of the admins' addresses; None where they are not for this page's readers."""
    admin = None if admins is None else f"{admins}/admin/{label}/"
    # Documents that are not public are below the admin.
    base = "/" if documents else admin
    return ModuleLinks(
        label=label,
        title=title,
        documents=base and f"{base}api/docs/{label}/",
        schema=base and f"{base}api/schema/{label}/",
        admin=admin,
    )


def _operators_url(topology: Topology) -> str | None:
    place = _loopback(topology.operators) if topology.operators else None
    return place and f"http{'s' * (topology.certificates is not None)}://{place}"


def _loopback(address: Address) -> str | None:
    """The address as text; None for one that other machines reach."""
    if address.is_literal:
        return str(address) if ipaddress.ip_address(address.host).is_loopback else None
    return str(address) if address.host == "localhost" else None


def explanations(modules: Sequence[ModuleConfig]) -> Iterator[tuple[str, str]]:
    """(cluster, regular expression of paths) of pages that explain: each module's own first, then the kernel's.

    A module explains its problems and its deprecated routes.
    """
    for module in modules:
        paths = [f"{problems.PREFIX}{re.escape(each.code)}" for each in module.problems]
        paths += [re.escape(versioning.page_of(route)) for route in module.routes if route.deprecation]
        if paths:
            yield module.label, "|".join(paths)
    yield ANY, f"{problems.PREFIX}.*"
