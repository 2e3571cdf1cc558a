"""The suite's profile. `pangaea.testing` points the aliases at real servers before the first test that needs one."""

import os

from pangaea.configuration import profiles
from pangaea.configuration.declared import Declared
from pangaea.settings import django

_configuration = profiles.load("test", os.environ)
PANGAEA: Declared = _configuration.declared
PANGAEA_IN_PROCESS: bool = False
PANGAEA_ADMIN: str = _configuration.admin_path
globals().update(django.compose(_configuration, debug=False))
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
