"""The file of signing keys: its changes by `manage.py signing_keys`, and the processes that read it again."""

import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from joserfc.jwk import ECKey
from pytest_django import Settings

from pangaea import errors
from pangaea.configuration import reading
from pangaea.credentials import keys
from pangaea.identity import token_keys, tokens
from pangaea.testing import access_token
from tests.kernel.identity.test_identity import ADA

LONG_AGO = 3600


@pytest.fixture
def file(tmp_path: Path, settings: Settings) -> Path:
    """The path of this process's keys, where no file exists yet."""
    path = tmp_path / "keys" / "signing.json"
    settings.PANGAEA = replace(settings.PANGAEA, signing_key_file=str(path), jwks_url="")
    return path


def run(*options: str) -> list[list[str]]:
    """The lines that the command prints, each with a key's part in the rotation and its id."""
    output = StringIO()
    call_command("signing_keys", *options, stdout=output)
    return [line.split() for line in output.getvalue().splitlines()]


def age(file: Path) -> None:
    """Make the file old enough for a rotation."""
    then = time.time() - LONG_AGO
    os.utime(file, (then, then))


def published() -> list[object]:
    return [key["kid"] for key in token_keys.public_jwks()["keys"]]


class TestTheFile:
    def test_is_made_with_the_next_key_published_already(self, file: Path) -> None:
        (part, signing), (other, coming) = run()
        assert (part, other) == ("signs", "next")
        assert published() == [signing, coming]
        assert token_keys.signing_key().kid == signing
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_stays_as_it_is_when_it_is_there(self, file: Path) -> None:
        first, before = run(), file.read_bytes()
        assert run() == first
        assert file.read_bytes() == before

    def test_takes_over_a_key_in_another_form_and_adds_the_next(self, file: Path) -> None:
        key = ECKey.generate_key("P-256")
        file.parent.mkdir()
        file.write_bytes(key.as_pem(private=True))
        token = access_token(ADA)
        (_, signing), (part, _) = run()
        assert (signing, part) == (key.thumbprint(), "next")
        assert tokens.verify(token).subject == ADA

    @pytest.mark.parametrize("content", ["", "nonsense-secret", '{"keys": []}'])
    def test_that_holds_something_else_is_refused_and_left_alone(self, file: Path, content: str) -> None:
        file.parent.mkdir()
        file.write_text(content)
        for options in [], ["--rotate"], ["--withdraw"]:
            with pytest.raises(CommandError, match=r"signing\.json") as caught:
                run(*options)
            assert "secret" not in str(caught.value)
        assert file.read_text() == content

    def test_has_to_be_named(self, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, signing_key_file="")
        with pytest.raises(CommandError, match="--file, or set SIGNING_KEY_FILE"):
            run()

    def test_has_to_be_there_to_be_rotated(self, file: Path) -> None:
        with pytest.raises(CommandError, match=r"There is no .+signing\.json"):
            run("--rotate")
        assert not file.exists()


class TestARotation:
    def test_lets_the_published_key_sign_and_refuses_no_token(self, file: Path) -> None:
        (_, former), (_, coming) = run()
        old = access_token(ADA)
        age(file)
        lines = run("--rotate")
        assert lines[0] == ["signs", coming]
        assert lines[2] == ["former", former]
        assert published() == [kid for _, kid in lines]
        assert token_keys.signing_key().kid == coming
        assert tokens.verify(old).subject == ADA
        assert tokens.verify(access_token(ADA)).subject == ADA

    def test_forgets_the_last_but_one(self, file: Path) -> None:
        (_, first), _ = run()
        old = access_token(ADA)
        age(file)
        run("--rotate")
        age(file)
        lines = run("--rotate")
        assert [part for part, _ in lines] == ["signs", "next", "former"]
        assert first not in published()
        with pytest.raises(errors.Unauthenticated):
            tokens.verify(old)

    def test_keeps_no_private_half_of_the_former_key(self, file: Path) -> None:
        run()
        age(file)
        run("--rotate")
        assert [key.is_private for key in keys.read(file)] == [True, True, False]

    def test_waits_until_verifiers_know_the_next_key_and_old_tokens_have_expired(self, file: Path) -> None:
        before = run()
        with pytest.raises(CommandError, match=r"Wait until 610 s have passed"):
            run("--rotate")
        assert run() == before

    def test_of_a_leaked_key_waits_for_nothing_and_believes_it_no_more(self, file: Path) -> None:
        _, (_, coming) = run()
        old = access_token(ADA)
        lines = run("--withdraw")
        assert lines[0] == ["signs", coming]
        assert [part for part, _ in lines] == ["signs", "next"]
        with pytest.raises(errors.Unauthenticated):
            tokens.verify(old)

    def test_leaves_owner_and_mode_as_they_are(self, file: Path) -> None:
        run()
        if os.geteuid() == 0:
            os.chown(file, 65534, 65534)
        file.chmod(0o640)
        before = file.stat()
        run("--withdraw")
        after = file.stat()
        assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
        assert after.st_ino != before.st_ino


class TestAProcess:
    @pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_text("half a fi")])
    def test_goes_on_with_the_keys_it_has_while_the_file_cannot_be_read(
        self, file: Path, spoil: Callable[[Path], object]
    ) -> None:
        run()
        signing, content = token_keys.signing_key().kid, file.read_bytes()
        spoil(file)
        assert token_keys.signing_key().kid == signing
        file.write_bytes(content)
        run("--withdraw")
        assert token_keys.signing_key().kid != signing

    def test_does_not_guess_between_two_keys(self, file: Path) -> None:
        run()
        other = ECKey.generate_key("P-256").as_pem(private=True).decode()
        environ = {"PANGAEA_MODULES": "users", "SIGNING_KEY_FILE": str(file)}
        assert reading.declared(environ).signing_key_file == str(file)
        with pytest.raises(ImproperlyConfigured, match="SIGNING_KEY_FILE and a module's own SIGNING_KEY are both set"):
            reading.declared(environ | {"USERS_SIGNING_KEY": other})
