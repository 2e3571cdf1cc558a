"""The edge: Envoy's configuration, from what the installed modules declare.

    addresses    HOST:PORT
    topologies   where the gateway listens, where the modules answer, which parts are switched on
    routes       which path belongs to which module
    rendering    template + topology + modules -> the files that Envoy reads
    endpoints    the files in which Envoy finds a module's instances while it runs
    validation   Envoy's own judgement on the committed renderings

The policy of the edge is in Envoy's own language, in `envoy.template.yaml`; addresses are in `topologies.toml`. The
rest is read from the modules' declarations, so a new module needs no line in either.
"""

from pangaea.gateway.addresses import Address
from pangaea.gateway.endpoints import Endpoints
from pangaea.gateway.rendering import TEMPLATE, Template, files, render, template
from pangaea.gateway.routes import issuer, routes
from pangaea.gateway.topologies import TOPOLOGIES, Topology, topologies

FOLDER = "gateway_conf"
"""Where a project keeps the template, the topologies and the renderings."""

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
