"""Spectral, with the rules of this folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.openapi import node

RULES: dict[str, dict[str, Any]] = yaml.safe_load((node.FOLDER / "ruleset.yaml").read_text())["rules"]


@dataclass(frozen=True)
class Finding:
    """A place of a document that breaks a rule."""

    document: str
    rule: str
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.document}: {self.rule}: {self.place}: {self.message}"


def lint(documents: Mapping[str, Any], folder: Path) -> list[Finding]:
    """What the linter finds in these documents, in one run, because it starts slowly. It reads them in the folder."""
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    files = [folder / f"{name}.json" for name in documents]
    done = node.run("spectral", "lint", *files, "--ruleset=ruleset.yaml", "--format=json", "--quiet")
    # 1 is "there are errors"; with another status the output is no list.
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return [
        Finding(Path(each["source"]).stem, each["code"], ".".join(map(str, each["path"])), each["message"])
        for each in json.loads(done.stdout)
    ]
