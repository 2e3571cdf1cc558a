"""Every package has a map: the docstring of its `__init__.py` names each of its files."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

KERNEL = ROOT / "platform" / "pangaea"
UNLISTED = {"__init__", "commands", "migrations", "tests", "templates", "static", "__pycache__"}
"""What Django looks for by name and the reader expects; `manage.py help` lists the commands."""


def packages() -> Iterator[Path]:
    """The folders of the kernel and of the modules that have something to list."""
    for root in (KERNEL, *(path.parent for path in (ROOT / "modules").glob("*/apps.py"))):
        for file in sorted(root.rglob("__init__.py")):
            if not UNLISTED & set(file.relative_to(root).parts[:-1]) and parts_of(file.parent):
                yield file.parent


def parts_of(package: Path) -> set[str]:
    """The names of its files and sub-packages, as one imports them."""
    files = {path.stem for path in package.glob("*.py")}
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    return (files | folders) - UNLISTED


def named_in(docstring: str) -> set[str]:
    """The names in front of the lines of a map: `    relay, replay   what they are for`."""
    entries = re.findall(r"^ {4}(\w+(?:, \w+)*)(?: {2,}|$)", docstring, re.MULTILINE)
    return {name for entry in entries for name in entry.split(", ")}


@pytest.mark.parametrize("package", list(packages()), ids=lambda path: str(path.relative_to(ROOT)))
class TestAPackage:
    def test_has_a_map_of_all_that_it_holds(self, package: Path) -> None:
        docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text()), clean=True) or ""

        named, parts = named_in(docstring) - UNLISTED, parts_of(package)
        assert named == parts, (
            f"{package.relative_to(ROOT)} needs a line per file and folder in its docstring, `    relay  its purpose`: "
            f"{sorted(parts - named)} missing, {sorted(named - parts)} not there"
        )


class TestTheMap:
    def test_is_read_line_by_line(self) -> None:
        assert named_in("A package.\n\n    relay, replay   two files\n    outbox     one\n\n  not this  one") == {
            "relay",
            "replay",
            "outbox",
        }
