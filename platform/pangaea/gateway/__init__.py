"""The edge: Envoy's configuration, from what the installed modules declare.

addresses    HOST:PORT
topologies   where the gateway listens, where the modules answer, which parts are switched on
routes       which path belongs to which module
rendering    template + topology + modules -> the file that Envoy reads
endpoints    the files in which Envoy finds a module's instances while it runs
validation   what Envoy itself says about the committed renderings

The policy of the edge is Envoy's own language, in `envoy.template.yaml`; where the modules run is in `topologies.toml`.
What the kernel adds is read from the declarations, so that no list of modules has to be kept anywhere.
"""

from pangaea.gateway.addresses import Address
from pangaea.gateway.endpoints import Endpoints
from pangaea.gateway.rendering import TEMPLATE, Rendering, Template, render, template
from pangaea.gateway.routes import owners
from pangaea.gateway.topologies import TOPOLOGIES, Topology, topologies

__all__ = [
    "TEMPLATE",
    "TOPOLOGIES",
    "Address",
    "Endpoints",
    "Rendering",
    "Template",
    "Topology",
    "owners",
    "render",
    "template",
    "topologies",
]
