"""All modules in one deployment: PostgreSQL, RabbitMQ or Redis, and web, relay and worker as processes of their own."""

import os

from pangaea.settings import base
from pangaea.settings.declared import Declared

PANGAEA: Declared = Declared.read(os.environ, required=("secret_key", "allowed_hosts", "broker_url"))
PANGAEA_IN_PROCESS: bool = False
globals().update(base.compose(PANGAEA, database_urls=base.urls_from(dict(os.environ), PANGAEA), debug=False))
globals().update(base.hardened(PANGAEA))
