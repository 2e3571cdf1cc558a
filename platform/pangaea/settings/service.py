"""One module, or a few, as a deployment of their own: PANGAEA_MODULES says which. The code is that of the monolith."""

import os

from pangaea.settings import base
from pangaea.settings.declared import Declared

PANGAEA: Declared = Declared.read(os.environ, required=("modules", "secret_key", "allowed_hosts", "broker_url"))
PANGAEA_IN_PROCESS: bool = False
globals().update(base.compose(PANGAEA, database_urls=base.urls_from(dict(os.environ), PANGAEA), debug=False))
globals().update(base.hardened(PANGAEA))
