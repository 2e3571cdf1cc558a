"""gateway_conf/envoy.<topology>.yaml and its secrets, for every topology."""

import os
from pathlib import Path

from pangaea import gateway, modules
from pangaea.configuration import reading


def files(root: Path) -> dict[Path, str]:
    """The configurations of all topologies of the project in that folder."""
    folder = root / gateway.FOLDER
    template = gateway.template(folder)
    # The edge belongs to a deployment, so this process's profile sets no defaults.
    installation = reading.declared(os.environ)
    found: dict[Path, str] = {}
    for topology in gateway.topologies(folder).values():
        found |= gateway.files(
            folder / f"envoy.{topology.name}.yaml",
            topology,
            modules=modules.installed(),
            template=template,
            installation=installation,
            root=root,
        )
    return found
