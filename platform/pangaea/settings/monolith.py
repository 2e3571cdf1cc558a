"""All modules in one deployment: PostgreSQL, RabbitMQ or Redis, and web, relay and worker as processes of their own."""

import os

from pangaea.configuration import profiles
from pangaea.configuration.declared import Declared
from pangaea.settings import django

_configuration = profiles.load("monolith", os.environ)
PANGAEA: Declared = _configuration.declared
PANGAEA_IN_PROCESS: bool = False
PANGAEA_ADMIN: str = _configuration.admin_path
globals().update(django.compose(_configuration, debug=False))
globals().update(django.deployed(PANGAEA))
