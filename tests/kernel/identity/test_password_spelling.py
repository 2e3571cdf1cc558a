"""The product's hasher, with few iterations: the profile of the tests has a faster one."""

from typing import ClassVar

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import MD5PasswordHasher, PBKDF2PasswordHasher
from pytest_django import Settings

from pangaea.identity.password_hashing import BoundedPBKDF2
from pangaea.identity.password_spelling import Opaque
from pangaea.ops.models import Operator

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


class _Counting(MD5PasswordHasher):
    algorithm = "counting"
    hashed: ClassVar[list[str]] = []

    def encode(self, password: str, salt: str) -> str:
        self.hashed.append(password)
        return super().encode(password, salt)


class CountingHasher(Opaque, _Counting):
    """Each entry of `hashed` is one hash computed."""


@pytest.mark.django_db
class TestALogIn:
    @pytest.mark.parametrize(("password", "hashes"), [(COMPOSED, 1), (DECOMPOSED, 2)])
    @pytest.mark.parametrize("name", ["clerk", "unknown"])
    def test_takes_as_long_for_an_unknown_operator(
        self, settings: Settings, name: str, password: str, hashes: int
    ) -> None:
        settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
        Operator.objects.create_user("clerk", password="tectonic plates")
        _Counting.hashed.clear()

        assert authenticate(None, username=name, password=password) is None
        assert len(_Counting.hashed) == hashes
