"""The product's hasher, with few iterations: the profile of the tests has a faster one."""

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from pangaea.identity.password_hashing import BoundedPBKDF2

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"

hasher, django = BoundedPBKDF2(), PBKDF2PasswordHasher()


class TestTheProductsHasher:
    @pytest.mark.parametrize("spelling", [COMPOSED, DECOMPOSED])
    def test_hashes_a_password_in_one_spelling(self, spelling: str) -> None:
        assert hasher.encode(spelling, "salt", 1) == django.encode(COMPOSED, "salt", 1)

    @pytest.mark.parametrize("spelling", [COMPOSED, DECOMPOSED])
    def test_verifies_every_spelling(self, spelling: str) -> None:
        assert hasher.verify(spelling, django.encode(COMPOSED, "salt", 1))
        assert not hasher.verify(spelling.upper(), django.encode(COMPOSED, "salt", 1))

    def test_verifies_a_former_hash_by_its_own_spelling(self) -> None:
        former = django.encode(DECOMPOSED, "salt", 1)
        assert hasher.verify(DECOMPOSED, former)
        assert not hasher.verify(COMPOSED, former)

    def test_hashes_that_the_previous_version_reads(self) -> None:
        assert django.verify("tectonic plates", hasher.encode("tectonic plates", "salt", 1))
