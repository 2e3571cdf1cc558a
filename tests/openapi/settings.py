"""The monolith's settings with a fast password hasher: most of a run would be the hashing of passwords."""

from pangaea.settings.django import compose

globals().update(compose("monolith"))
PASSWORD_HASHERS = ["pangaea.testing.hashing.FastHasher"]
