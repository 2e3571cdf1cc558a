"""While SECRET_KEY is replaced and two versions run, each accepts the signatures of the other."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.messages import constants
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.sessions.backends.db import SessionStore
from django.core import signing
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import Settings

from pangaea.ops.models import Operator
from tests.kernel.configuration.test_settings import GOOD, ROOT, problems

FORMER, NEXT = (
    "former-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
    "next-" + "zyxwvutsrqponmlkjihgfedcba9876543210" * 2,
)
Deployment = Callable[[str], None]


@pytest.fixture
def signs_with(settings: Settings) -> Deployment:
    """Switch to a process that signs with one of the two keys and accepts the other."""

    def use(key: str) -> None:
        settings.SECRET_KEY = key
        settings.SECRET_KEY_FALLBACKS = [NEXT if key == FORMER else FORMER]

    use(FORMER)
    return use


@pytest.mark.django_db(databases="__all__")
class TestALogInAtTheAdmin:
    @pytest.fixture
    def browser(self, signs_with: Deployment) -> Client:
        operator = Operator.objects.create_superuser("operator", password="correct horse battery")
        client = Client()
        client.force_login(operator)
        return client

    def test_lasts_while_both_versions_answer(self, browser: Client, signs_with: Deployment) -> None:
        for key in (FORMER, NEXT, FORMER, NEXT):
            signs_with(key)
            assert browser.get(reverse("admin:index")).status_code == 200

    def test_lasts_for_requests_beside_each_other(self, browser: Client, signs_with: Deployment) -> None:
        beside = Client()
        beside.cookies.load({name: each.value for name, each in browser.cookies.items()})
        signs_with(NEXT)
        assert browser.get(reverse("admin:index")).status_code == 200
        assert beside.get(reverse("admin:index")).status_code == 200

    def test_lasts_once_the_former_key_is_withdrawn(
        self, browser: Client, signs_with: Deployment, settings: Settings
    ) -> None:
        signs_with(NEXT)
        browser.get(reverse("admin:index"))
        settings.SECRET_KEY_FALLBACKS = []
        assert browser.get(reverse("admin:index")).status_code == 200

    def test_ends_where_the_key_is_not_known(self, browser: Client, settings: Settings) -> None:
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEXT, []
        assert browser.get(reverse("admin:index")).status_code == 302

    def test_ends_with_the_password(self, browser: Client) -> None:
        operator = Operator.objects.get()
        operator.set_password("another horse battery")
        operator.save()
        assert browser.get(reverse("admin:index")).status_code == 302


class TestWhatIsSigned:
    @pytest.mark.parametrize(("by", "read_by"), [(FORMER, NEXT), (NEXT, FORMER)])
    def test_by_one_version_is_accepted_by_the_other(self, signs_with: Deployment, by: str, read_by: str) -> None:
        signs_with(by)
        value, session = signing.dumps({"page": 2}, salt="cursor"), SessionStore().encode({"a": 1})
        storage, answer = CookieStorage(RequestFactory().get("/")), HttpResponse()
        storage.add(constants.INFO, "saved")
        storage.update(answer)
        signs_with(read_by)
        assert signing.loads(value, salt="cursor") == {"page": 2}
        assert SessionStore().decode(session) == {"a": 1}
        request = RequestFactory().get("/")
        request.COOKIES["messages"] = answer.cookies["messages"].value
        assert [str(each) for each in CookieStorage(request)] == ["saved"]

    def test_is_signed_by_what_knows_the_fallbacks(self) -> None:
        """Django's signing accepts them; a digest of SECRET_KEY itself, or `salted_hmac` without a secret, does not.

        A file that names SECRET_KEY_FALLBACKS compares with their digests too.

        The counts of failed log-ins may: with another key they begin again (ADR 0025).
        """
        alone = re.compile(r"settings\.SECRET_KEY\b|salted_hmac\((?![^)]*secret=)")
        found = [
            str(path)
            for folder in (ROOT / "platform", ROOT / "modules")
            for path in Path(folder).rglob("*.py")
            if alone.search(source := path.read_text(encoding="utf-8")) and "SECRET_KEY_FALLBACKS" not in source
        ]
        assert found == [str(ROOT / "platform" / "pangaea" / "identity" / "password_attempts.py")]


class TestFallbacks:
    @pytest.mark.parametrize("text", ["short", "x" * 60, f"{NEXT},short"])
    def test_are_judged_like_the_key(self, text: str) -> None:
        (problem,) = problems(GOOD | {"SECRET_KEY_FALLBACKS": text}, "monolith")
        assert problem.startswith("SECRET_KEY_FALLBACKS is short or repetitive: set 50")

    def test_may_be_in_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "former").write_text(f"{FORMER},{NEXT}\n")
        assert problems(GOOD | {"SECRET_KEY_FALLBACKS_FILE": str(tmp_path / "former")}, "monolith") == []
        (tmp_path / "former").write_text("short\n")
        assert len(problems(GOOD | {"SECRET_KEY_FALLBACKS_FILE": str(tmp_path / "former")}, "monolith")) == 1
