"""The suite's profile. `pangaea.testing` points the aliases at real servers before the first test that needs one."""

from pangaea.configuration.declared import Declared
from pangaea.settings.django import compose

# For mypy, which reads the types of settings here.
PANGAEA: Declared
PANGAEA_IN_PROCESS: bool
PANGAEA_ADMIN: str
globals().update(compose("test"))
PASSWORD_HASHERS = ["pangaea.testing.hashing.FastHasher"]
