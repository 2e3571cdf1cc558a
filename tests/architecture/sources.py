"""The project's Python files, parsed, with the facts about a file that the rules use."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """One file: its path from the project's root, its text, and the labels of all modules of the project."""

    path: str
    text: str
    labels: frozenset[str]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def module(self) -> str | None:
        """The label of the module that owns the file; None for the kernel and for the project's own tests."""
        parts = Path(self.path).parts
        return parts[1] if parts[0] == "modules" and len(parts) > 2 else None

    @property
    def others(self) -> frozenset[str]:
        return self.labels - {self.module}

    @property
    def is_test(self) -> bool:
        return "tests" in Path(self.path).parts

    @cached_property
    def docstrings(self) -> frozenset[int]:
        """The ids of the nodes that are docstrings, or other strings that stand alone: prose, not code."""
        return frozenset(id(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Expr))

    def strings(self) -> Iterator[tuple[int, str]]:
        """Every string that is code, with its line; of an f-string, its constant parts in one."""
        inside: set[int] = set()
        for node in ast.walk(self.tree):
            if id(node) in self.docstrings or id(node) in inside:
                continue
            if isinstance(node, ast.JoinedStr):
                inside.update(id(part) for part in node.values)
                yield node.lineno, "".join(text(part) or "{}" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.lineno, node.value

    def calls(self) -> Iterator[tuple[ast.Call, str]]:
        """Every call, with the last part of the name that is called."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield node, last_name(node.func)


def text(node: ast.AST | None) -> str | None:
    """The value of a string constant, else None."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def last_name(node: ast.expr) -> str:
    """`c` of `a.b.c` and of `c`; empty for anything else."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def argument(call: ast.Call, position: int | None, keyword: str) -> ast.expr | None:
    """An argument that may be given by keyword, or by position if it has one."""
    if position is not None and len(call.args) > position:
        return call.args[position]
    return next((each.value for each in call.keywords if each.arg == keyword), None)


def labels() -> frozenset[str]:
    """The labels of the modules in the project."""
    return frozenset(path.parent.name for path in (ROOT / "modules").glob("*/apps.py"))


def sources(*folders: str) -> list[Source]:
    """Every Python file below the folders."""
    known = labels()
    return [
        Source(path=path.relative_to(ROOT).as_posix(), text=path.read_text(encoding="utf-8"), labels=known)
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
