"""One module, or a few, as a deployment of their own: PANGAEA_MODULES says which. The code is that of the monolith."""

import os

from pangaea.settings import base, profiles
from pangaea.settings.declared import Declared

_configuration = profiles.load("service", os.environ)
PANGAEA: Declared = _configuration.declared
PANGAEA_IN_PROCESS: bool = False
PANGAEA_ADMIN: str = _configuration.admin_path
globals().update(base.compose(_configuration, debug=False))
globals().update(base.deployed(PANGAEA))
