"""`openapi release` freezes what an API promises, and `openapi check` finds what breaks it."""

import json
import os
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from pangaea import modules
from pangaea.api.releases import checking, files
from pangaea.api.releases.history import History
from pangaea.errors import Misconfigured
from tests.kernel.sample_modules import Shelf

URLS = """
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

class ThingSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    {fields}

class ThingsView(APIView):
    permission_classes = []

    @extend_schema(operation_id="shop_read_thing", responses=ThingSerializer{ending})
    def get(self, request): return Response({{}})

urlpatterns = [path("", ThingsView.as_view())]
"""
ROUTES = {
    "v1": 'Route("/api/v1/things", urlconf="shop.v1", public=True),',
    "v2": 'Route("/api/v2/things", urlconf="shop.v2", public=True),',
}
NAME = "name = serializers.CharField()"
ENDING = ', deprecated=True, extensions={{"x-deprecation": {{"since": "{since}", "sunset": "{sunset}"}}}}'
EXCEPTION = '[[exception]]\nrule = "{rule}"\npath = "{path}"\nreason = "It was never filled."\nexpires = {expires}\n'
REMOVED = "response-required-property-removed"
DAY = "2026-06-01"


class Project:
    """A project with one module, `shop`, in a git repository."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.shelf = Shelf(folder)
        self.shelf.add("shop", config="pass")
        self.package = folder / "shop"
        self.folder = files.folder_of(self.package)
        self.git("init", "--quiet")
        self.serves(v1=NAME)

    def git(self, *arguments: str, day: str = DAY) -> None:
        stamp = f"{day}T12:00:00Z"
        who = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = {**os.environ, **who, "GIT_COMMITTER_DATE": stamp, "GIT_AUTHOR_DATE": stamp}
        subprocess.run(["git", *arguments], check=True, cwd=self.root, env=environment, capture_output=True)

    def serves(self, ending: str = "", **versions: str) -> None:
        """Make the module serve these versions, each with these fields beside the id."""
        routes = "\n".join(["routes = (", *(f"    {ROUTES[each]}" for each in versions), ")"])
        declaration = (
            "from pangaea.modules import Route, ModuleConfig\n\nclass Config(ModuleConfig):\n    name = 'shop'\n"
        )
        lines = "".join(f"    {line}\n" for line in routes.splitlines())
        (self.package / "apps.py").write_text(declaration + lines)
        for version, fields in versions.items():
            (self.package / f"{version}.py").write_text(URLS.format(fields=fields or "pass", ending=ending))

    def commit(self, day: str = DAY) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a change", day=day)

    def release(self, day: str = DAY) -> list[Path]:
        with self.shelf.installed():
            found = list(checking.release(modules.named("shop"), on=date.fromisoformat(day)))
        return [path for _, path in found if path]

    def check(self, day: str = "") -> str:
        """The problems, as one text; none where all is well."""
        history = History.of(self.root)
        on = date.fromisoformat(day) if day else history.day()
        with self.shelf.installed():
            return "\n".join(checking.check(modules.named("shop"), on=on, history=history).problems)

    def accept(self, rule: str, path: str, expires: str) -> None:
        (self.package / "api" / "exceptions.toml").write_text(EXCEPTION.format(rule=rule, path=path, expires=expires))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def released(project: Project) -> Project:
    """The project with its v1 released and committed."""
    project.release()
    project.commit()
    return project


class TestAnApi:
    def test_needs_a_release(self, project: Project) -> None:
        assert "shop v1 was never released. Run `manage.py openapi release shop --version v1`" in project.check()

    def test_keeps_what_it_released(self, released: Project) -> None:
        assert released.check() == ""

    def test_may_gain_a_member(self, released: Project) -> None:
        released.serves(v1=f"{NAME}; more = serializers.CharField()")
        assert released.check() == ""

    def test_breaks_its_release_with_rule_path_and_who_breaks(self, released: Project) -> None:
        released.serves(v1="")
        released.commit()

        found = released.check()
        assert f"error [{REMOVED}] it is missing, and was always there" in found
        assert "GET /api/v1/things 200 $.name" in found
        assert "It breaks clients that read it as before (release 1 of v1, 2026-06-01)" in found
        assert "modules/shop/api/exceptions.toml" in found

    def test_breaks_no_release_by_another_version(self, released: Project) -> None:
        released.serves(v1=NAME, v2="")
        assert "shop v2 was never released" in released.check()
        released.release()
        assert released.check() == ""

    def test_keeps_what_any_of_its_releases_promised(self, released: Project) -> None:
        optional = "more = serializers.{}Field(required=False)"
        released.serves(v1=f"{NAME}; {optional.format('Char')}")
        released.release()
        released.serves(v1=NAME)
        released.release()
        released.serves(v1=f"{NAME}; {optional.format('Integer')}")

        assert "response-property-type-changed" in released.check()
        assert "release 2 of v1" in released.check()


class TestARelease:
    def test_is_a_document_of_one_version(self, released: Project) -> None:
        released.serves(v1=NAME, v2="")
        released.release()

        document = json.loads((released.folder / "v2" / "0001.json").read_text())
        assert list(document["paths"]) == ["/api/v2/things"]
        assert document["info"]["x-release"] == {"accepted": [], "day": DAY, "number": 1, "version": "v2"}

    def test_is_written_only_where_something_changed(self, released: Project) -> None:
        assert released.release() == []
        released.serves(v1=f"{NAME}; more = serializers.CharField()")
        assert released.release() == [released.folder / "v1" / "0002.json"]
        assert released.release() == []

    def test_of_a_break_is_refused(self, released: Project) -> None:
        released.serves(v1="")
        with pytest.raises(checking.Broken, match=REMOVED):
            released.release()
        assert not (released.folder / "v1" / "0002.json").exists()

    @pytest.mark.parametrize("with_git", [True, False])
    def test_that_was_changed_or_deleted_is_found(self, released: Project, *, with_git: bool) -> None:
        if not with_git:
            (released.root / ".git").rename(released.root / "elsewhere")
        file = released.folder / "v1" / "0001.json"
        content = file.read_text()
        file.write_text(content.replace("name", "title"))
        assert "v1/0001.json was changed. A released document never changes" in released.check()
        file.unlink()
        assert "v1/0001.json was deleted" in released.check()
        file.write_text(content)
        assert released.check() == ""

    def test_that_was_replaced_with_its_sum_is_found_in_the_history(self, released: Project) -> None:
        file = released.folder / "v1" / "0001.json"
        file.unlink()
        (released.folder / files.SUMS).unlink()
        released.serves(v1="")
        released.release()
        released.commit()

        assert "v1/0001.json was changed" in released.check()

    def test_that_no_command_wrote_is_found(self, released: Project) -> None:
        (released.folder / "v1" / "0002.json").write_text("{}")
        assert "v1/0002.json is not in SHA256SUMS" in released.check()

    def test_that_broke_an_earlier_one_is_found(self, released: Project) -> None:
        (released.folder).rename(released.root / "first")
        released.serves(v1="")
        [second] = released.release()
        document = json.loads(second.read_text())
        second.unlink()
        (released.folder / "v1").rmdir()
        (released.folder / files.SUMS).unlink()
        released.folder.rmdir()
        (released.root / "first").rename(released.folder)
        with released.shelf.installed():
            files.write(released.folder, "v1", document, day=date.fromisoformat(DAY), accepted=[])

        assert "0002.json, release 2 of v1, broke an earlier one" in released.check()

    def test_that_was_altered_has_no_successor(self, released: Project) -> None:
        (released.folder / "v1" / "0001.json").write_text("{}")
        with pytest.raises(Misconfigured, match=r"v1/0001\.json was changed\. Restore it from git"):
            released.release()

    @pytest.mark.parametrize("imported", [True, False])
    def test_announces_an_end_on_the_day_of_its_commit(self, released: Project, *, imported: bool) -> None:
        released.serves(v1=NAME, ending=ending("2026-06-01", "2026-09-01"))
        released.release("2026-06-02")
        if imported:
            shutil.rmtree(released.root / ".git")
            released.git("init", "--quiet")
        released.commit("2026-08-01")

        found = released.check()
        assert ("is less than 90 days after 2026-08-01" in found) is not imported


class TestAnException:
    PATH = "GET /api/v1/things 200 $.name"

    @pytest.fixture
    def broken(self, released: Project) -> Project:
        released.serves(v1="")
        return released

    @pytest.mark.parametrize("path", [PATH, "GET /api/v1/* $.name"])
    def test_accepts_a_break_until_it_expires(self, broken: Project, path: str) -> None:
        broken.accept(REMOVED, path, expires="2026-08-01")
        assert broken.check("2026-08-01") == ""
        assert "expired on 2026-08-01" in broken.check("2026-08-02")
        assert REMOVED in broken.check("2026-08-02")

    def test_of_another_rule_or_path_accepts_nothing(self, broken: Project) -> None:
        broken.accept(REMOVED, "GET /api/v1/things 200 $.id", expires="2026-08-01")
        found = broken.check(DAY)
        assert f"the exception for {REMOVED} at GET /api/v1/things 200 $.id covers nothing" in found
        assert self.PATH in found

    def test_ends_with_the_next_release(self, broken: Project) -> None:
        broken.accept(REMOVED, self.PATH, expires="2026-08-01")
        broken.release()

        assert "covers nothing: remove it" in broken.check(DAY)
        (broken.package / "api" / "exceptions.toml").unlink()
        assert broken.check("2027-01-01") == ""

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('[[exception]]\nrule = "a"\npath = "b"\nreason = "c"\n', "needs `expires`"),
            (EXCEPTION.format(rule="a", path="b", expires='"soon"'), "needs `expires`"),
            (EXCEPTION.format(rule="a", path="b", expires="2027-01-01\nmore = 1"), "no member more"),
            (
                EXCEPTION.format(rule="a", path="b", expires="2027-01-01").replace("It was never filled.", " "),
                "a reason",
            ),
            ("exception = 1", "is no list of exceptions"),
        ],
    )
    def test_that_is_malformed_is_named(self, released: Project, text: str, message: str) -> None:
        (released.package / "api" / "exceptions.toml").write_text(text)
        with pytest.raises(Misconfigured, match=message):
            released.check()


def ending(since: str, sunset: str) -> str:
    return ENDING.format(since=since, sunset=sunset)


class TestAVersion:
    """Released on 2026-06-01; its end, in 2027, is announced and released in June too."""

    @pytest.fixture
    def ending_soon(self, released: Project) -> Project:
        released.serves(v1=NAME, v2="")
        released.release()
        released.serves(v1=NAME, v2="", ending=ending("2026-06-10", "2027-01-01"))
        released.release("2026-06-10")
        released.commit("2026-06-10")
        return released

    def test_is_not_removed_without_an_announcement(self, released: Project) -> None:
        released.serves()
        assert "[api-path-removed-without-deprecation]" in released.check()

    @pytest.mark.parametrize(("day", "removable"), [("2026-12-31", False), ("2027-01-01", True)])
    def test_is_removed_only_after_its_sunset_by_the_commits_day(
        self, ending_soon: Project, day: str, *, removable: bool
    ) -> None:
        ending_soon.serves(v2="", ending=ending("2026-06-10", "2027-01-01"))
        ending_soon.commit(day)

        found = ending_soon.check()
        assert ("[api-path-removed-before-sunset]" not in found) is removable
        assert removable or "is missing on 2026-12-31, and was promised until 2027-01-01" in found

    def test_keeps_its_sunset_or_moves_it_later(self, ending_soon: Project) -> None:
        ending_soon.serves(v1=NAME, v2="", ending=ending("2026-06-10", "2026-12-01"))
        assert "[api-sunset-date-changed-too-small]" in ending_soon.check("2026-06-11")
        ending_soon.serves(v1=NAME, v2="", ending=ending("2026-06-10", "2027-02-01"))
        assert ending_soon.check("2026-12-31") == ""

    @pytest.mark.parametrize(
        ("since", "sunset", "day"),
        [
            ("2026-06-01", "2026-08-29", DAY),
            ("2026-01-01", "2026-08-29", DAY),
            ("2026-07-01", "2026-09-28", DAY),
        ],
    )
    def test_ends_90_days_after_it_was_announced(self, released: Project, since: str, sunset: str, day: str) -> None:
        released.serves(v1=NAME, ending=ending(since, sunset))
        assert "[api-sunset-date-too-small]" in released.check(day)
        with pytest.raises(checking.Broken, match="api-sunset-date-too-small"):
            released.release(day)

    def test_may_end_as_announced_however_late_that_is_checked(self, ending_soon: Project) -> None:
        assert ending_soon.check("2026-12-31") == ""

    def test_with_an_end_of_no_date_is_named(self, released: Project) -> None:
        released.serves(v1=NAME, ending=", deprecated=True")
        assert "[api-deprecated-sunset-missing]" in released.check()


class TestTheDay:
    def test_is_that_of_the_last_commit(self, released: Project) -> None:
        assert History.of(released.root).day() == date.fromisoformat(DAY)

    def test_is_today_where_something_is_not_committed(self, released: Project) -> None:
        (released.root / "new").write_text("")
        assert History.of(released.root).day() > date.fromisoformat(DAY)

    def test_of_a_shallow_clone_is_that_of_its_releases(self, released: Project, tmp_path: Path) -> None:
        released.git("commit", "--allow-empty", "--quiet", "--message", "more", day="2027-01-01")
        clone = tmp_path / "clone"
        released.git("clone", "--quiet", "--depth", "1", f"file://{released.root}", str(clone))

        assert not History.of(clone).is_known
        assert History.of(clone).day() == date(2027, 1, 1)
