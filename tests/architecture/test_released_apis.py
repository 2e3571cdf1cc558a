"""A change that breaks a release fails the gate, also where every document was rendered again and all is committed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.architecture.sources import ROOT
from tests.architecture.test_extraction import LEFT_BEHIND, environment, python

FIELD = "    total = MoneySerializer()\n"


def git(project: Path, *arguments: str) -> None:
    who = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *arguments], check=True, cwd=project, env={**os.environ, **who}, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A copy of the project, committed."""
    copy = tmp_path / "project"
    shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND, symlinks=True)
    git(copy, "init", "--quiet")
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message", "the project")
    yield copy
    shutil.rmtree(copy)


class TestTheReleases:
    def test_are_what_the_code_keeps(self) -> None:
        output = StringIO()
        call_command("openapi", "check", stdout=output)
        assert "keep what they released" in output.getvalue()


class TestABreakingChange:
    @pytest.mark.full
    def test_fails_the_gate_with_the_rule_the_path_and_who_breaks(self, project: Path) -> None:
        assert "keep what they released" in python(project, "manage.py", "openapi", "check")
        views = project / "modules" / "orders" / "api" / "v1" / "orders.py"
        source = views.read_text()
        assert FIELD in source
        views.write_text(source.replace(FIELD, ""))
        python(project, "manage.py", "render")
        git(project, "commit", "--quiet", "--all", "--message", "an order without its total")
        python(project, "manage.py", "render", "--check")

        done = subprocess.run(
            [sys.executable, "manage.py", "openapi", "check"],
            check=False,
            capture_output=True,
            text=True,
            cwd=project,
            env=environment(project),
        )
        assert done.returncode != 0
        assert "orders breaks what it released" in done.stderr
        assert "error [response-required-property-removed] it is missing, and was always there" in done.stderr
        assert "It breaks clients that read it as before (release 1 of v1, " in done.stderr
        assert "GET /api/v1/orders/{order_id} 200 $.total" in done.stderr
        assert "POST /api/v1/orders 201 $.total" in done.stderr
