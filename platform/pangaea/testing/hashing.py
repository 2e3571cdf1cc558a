"""The password hasher of tests: as the product's, except that it is fast."""

from django.contrib.auth.hashers import MD5PasswordHasher

from pangaea.identity.password_spelling import Opaque


class FastHasher(Opaque, MD5PasswordHasher):
    """Django's MD5 hasher, for tests alone."""
