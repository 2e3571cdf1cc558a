"""Each promise of SECURITY.md names tests that exist, and no secret is in the repository."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.architecture import vocabulary

ROOT = Path(__file__).resolve().parents[2]
PROMISED = (
    (ROOT / "SECURITY.md").read_text().partition("## What is promised")[2].partition("## What is not promised")[0]
)
KEY = re.compile(rb"^-----BEGIN [A-Z ]*PRIVATE KEY-----", re.MULTILINE)
NAMED = re.compile(r"`((?:tests|modules)/[\w/]+\.py(?:::\w+)*)`")


class TestAPromise:
    @pytest.mark.parametrize("promise", re.findall(r"^- \*\*.*?(?=^- |^#|\Z)", PROMISED, re.DOTALL | re.MULTILINE))
    def test_names_its_tests(self, promise: str) -> None:
        assert NAMED.findall(promise.partition("Tests:")[2])

    @pytest.mark.parametrize("name", sorted(set(NAMED.findall((ROOT / "SECURITY.md").read_text()))))
    def test_has_tests_that_exist(self, name: str) -> None:
        path, *names = name.split("::")
        scope: ast.AST = ast.parse((ROOT / path).read_text())
        for each in names:
            scope = next(
                node
                for node in ast.iter_child_nodes(scope)
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == each
            )


class TestTheLockedRequirements:
    @pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
    def test_are_pinned_with_hashes_and_name_no_index(self, name: str) -> None:
        lines = [each for each in (ROOT / name).read_text().splitlines() if each and not each.lstrip().startswith("#")]
        pinned = [each for each in lines if not each.startswith(" ")]

        assert pinned
        assert all(re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", each) for each in pinned)
        assert all("--hash=sha256:" in each for each in lines if each.startswith(" "))
        assert len([each for each in lines if each.startswith(" ")]) >= len(pinned)

    def test_are_installed_by_their_hashes_alone(self) -> None:
        installing = [
            each for each in (ROOT / "Makefile").read_text().splitlines() if "$(PIP)" in each and " -r " in each
        ]

        assert installing
        assert all("--require-hashes" in each for each in installing)


class TestTheRepository:
    def test_has_no_key(self) -> None:
        listed = subprocess.run(vocabulary.LISTING, cwd=ROOT, capture_output=True, text=True, check=False)
        if listed.returncode:
            pytest.skip("There is no git here.")
        files = [ROOT / path for path in listed.stdout.split("\0") if (ROOT / path).is_file()]

        assert [file for file in files if file.name in {"secret_key", "signing_key.pem"}] == []
        # A PEM block begins its line; the tests' examples are inside quotes.
        assert [file for file in files if KEY.search(file.read_bytes())] == []
