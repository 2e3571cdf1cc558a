"""Thirty docstrings of the kernel and the modules, drawn by a seed, to be read against the vocabulary.

`python -m tests.architecture.draw_docstrings SEED [NUMBER]`
"""

import ast
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.architecture.sources import ROOT

DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings() -> Iterator[tuple[str, str]]:
    """Where each docstring is, and its text."""
    for folder in ("platform/pangaea", "modules"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in file.parts and "tests" not in file.parts:
                yield from _in(file)


def _in(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, DEFINITIONS) and (text := ast.get_docstring(node)):
            name = "" if isinstance(node, ast.Module) else f" {node.name}"
            yield f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}{name}", text


def main(arguments: Sequence[str]) -> None:
    """Print the drawn ones."""
    seed, number = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 30
    drawn = random.Random(seed).sample(list(docstrings()), number)
    sys.stdout.writelines(f"{place}\n{text}\n\n" for place, text in drawn)


if __name__ == "__main__":
    main(sys.argv[1:])
