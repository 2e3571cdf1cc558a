"""The suite's profile. `pangaea.testing` points the aliases at real servers before the first test that needs one."""

import os

from pangaea.settings import base, profiles
from pangaea.settings.declared import Declared

_configuration = profiles.load("test", os.environ)
PANGAEA: Declared = _configuration.declared
PANGAEA_IN_PROCESS: bool = False
PANGAEA_ADMIN: str = _configuration.admin_path
globals().update(base.compose(_configuration, debug=False))
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
