"""All modules in one deployment: PostgreSQL, RabbitMQ or Redis, and web, relay and worker as processes of their own."""

import os

from pangaea.settings import base, profiles
from pangaea.settings.declared import Declared

_configuration = profiles.load("monolith", os.environ)
PANGAEA: Declared = _configuration.declared
PANGAEA_IN_PROCESS: bool = False
PANGAEA_ADMIN: str = _configuration.admin_path
globals().update(base.compose(_configuration, debug=False))
globals().update(base.deployed(PANGAEA))
