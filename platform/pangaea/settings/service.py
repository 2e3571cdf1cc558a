"""One module, or a few, as a deployment of their own: PANGAEA_MODULES says which. The code is that of the monolith."""

import os

from pangaea.configuration import profiles
from pangaea.configuration.declared import Declared
from pangaea.settings import django

_configuration = profiles.load("service", os.environ)
PANGAEA: Declared = _configuration.declared
PANGAEA_IN_PROCESS: bool = False
PANGAEA_ADMIN: str = _configuration.admin_path
globals().update(django.compose(_configuration, debug=False))
globals().update(django.deployed(PANGAEA))
