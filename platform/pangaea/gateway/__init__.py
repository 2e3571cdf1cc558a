"""The edge: Envoy's configuration, from what the installed modules declare.

    addresses    HOST:PORT
    topologies   the addresses of the gateway and the modules, and the optional parts of a deployment's edge
    routes       the module of each public path
    pages        the page that leads to every module, and the pages of problems
    parts        the template, in parts whose gaps are filled
    rendering    template + topology + modules -> the files that Envoy reads
    endpoints    the files with the addresses of a module's instances, which Envoy reloads
    validation   Envoy's own judgement on the committed renderings

The policy of the edge is in Envoy's own language, in `envoy.template.yaml`; addresses are in `topologies.toml`. The
rest is read from the modules' declarations, so a new module needs no line in either.
"""

from pangaea.gateway.addresses import Address
from pangaea.gateway.endpoints import Endpoints
from pangaea.gateway.parts import TEMPLATE, Template, template
from pangaea.gateway.rendering import files, render
from pangaea.gateway.routes import issuer, routes
from pangaea.gateway.topologies import TOPOLOGIES, Topology, topologies

FOLDER = "gateway_conf"
"""The folder of a project with the template, the topologies and the renderings."""

__all__ = [
    "FOLDER",
    "TEMPLATE",
    "TOPOLOGIES",
    "Address",
    "Endpoints",
    "Template",
    "Topology",
    "files",
    "issuer",
    "render",
    "routes",
    "template",
    "topologies",
]
