"""One process on a laptop: SQLite files, a bus in process, generated keys. Nothing to install, nothing to configure."""

import os

from pangaea.settings import base, profiles
from pangaea.settings.declared import Declared

_configuration = profiles.load("local", os.environ)
PANGAEA: Declared = _configuration.declared
PANGAEA_IN_PROCESS: bool = True
PANGAEA_ADMIN: str = _configuration.admin_path
globals().update(base.compose(_configuration, debug=True))
