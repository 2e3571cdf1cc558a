"""Generators of other people read every document, and programs against what they make compile."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.openapi import node
from tests.openapi.documents import documents
from tests.openapi.generated import python_client
from tests.processes import ROOT

pytestmark = pytest.mark.full

IMPORT_ALL = """
import importlib, pkgutil, pangaea_client
for module in pkgutil.walk_packages(pangaea_client.__path__, "pangaea_client."):
    importlib.import_module(module.name)
"""
COMPILE = ("--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every document in a file, by its name."""
    folder = tmp_path_factory.mktemp("documents")
    found = {name: folder / f"{name}.json" for name in documents()}
    for name, document in documents().items():
        found[name].write_text(json.dumps(document))
    return found


def python(*arguments: str | Path, path: Path) -> "subprocess.CompletedProcess[str]":
    """Run Python, which imports from `path` first."""
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=path,
        env={**os.environ, "PYTHONPATH": str(path), "MYPYPATH": str(ROOT / "platform")},
    )


class TestOpenapiPythonClient:
    def test_reads_every_document_without_a_warning(self, files: dict[str, Path], tmp_path: Path) -> None:
        for name, file in files.items():
            folder = tmp_path / name
            folder.mkdir()
            python_client(folder, document=file)
            imported = python("-c", IMPORT_ALL, path=folder)
            assert (imported.returncode, imported.stderr) == (0, ""), name

    def test_makes_a_client_whose_types_the_walk_obeys(self, tmp_path: Path) -> None:
        python_client(tmp_path)
        walk = shutil.copy(node.FOLDER / "walk.py", tmp_path)
        checked = python("-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", walk, path=tmp_path)
        assert checked.returncode == 0, checked.stdout + checked.stderr


class TestOpenapiTypescript:
    def test_reads_every_document_and_a_program_obeys_its_types(self, files: dict[str, Path], tmp_path: Path) -> None:
        for name, file in files.items():
            made = node.run("openapi-typescript", file, f"--output={tmp_path / f'{name}.ts'}")
            assert made.returncode == 0, made.stdout + made.stderr
        programs = [shutil.copy(node.FOLDER / "shop.ts", tmp_path), *(f"{name}.ts" for name in files)]
        compiled = node.run("tsc", *COMPILE, *programs, cwd=tmp_path)
        assert (compiled.returncode, compiled.stdout) == (0, "")
