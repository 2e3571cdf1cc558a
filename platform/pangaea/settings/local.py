"""One process on a laptop: SQLite files, a bus in process, generated keys. Nothing to install, nothing to configure."""

import os

from pangaea.configuration import profiles
from pangaea.configuration.declared import Declared
from pangaea.settings import django

_configuration = profiles.load("local", os.environ)
PANGAEA: Declared = _configuration.declared
PANGAEA_IN_PROCESS: bool = True
PANGAEA_ADMIN: str = _configuration.admin_path
globals().update(django.compose(_configuration, debug=True))
