"""The suite's profile. `pangaea.testing` points the aliases at real servers before the first test that needs one."""

from pangaea.configuration.declared import Declared
from pangaea.settings.django import compose

# For mypy, which reads the types of settings here.
PANGAEA: Declared
PANGAEA_IN_PROCESS: bool
PANGAEA_ADMIN: str
MIDDLEWARE: list[str]
globals().update(compose("test"))
# Outermost: it sees the headers that all others add.
MIDDLEWARE.insert(0, "pangaea.testing.answers.AnswersMiddleware")  # noqa: F821 - the line above defines it
PASSWORD_HASHERS = ["pangaea.testing.hashing.FastHasher"]
