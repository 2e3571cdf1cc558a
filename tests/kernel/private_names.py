"""Finds the private names of Celery, kombu, py-amqp, billiard and gunicorn that the kernel touches.

`private_names.toml` lists them. `touched` finds them in files of the kernel that import one of the libraries, or whose
classes derive from a library's class by way of another file:

- private names (`_name`) of objects that are not `self`;
- in a class that derives from a library's: names that it overrides, and attributes of `self` that the library's class
  has too, accidental collisions included;
- names that are imported from a library, unless they are DOCUMENTED.
"""

import ast
import hashlib
import importlib
import inspect
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

LIBRARIES = frozenset({"amqp", "billiard", "celery", "gunicorn", "kombu"})
DOCUMENTED = frozenset(
    {
        "amqp",
        "amqp.exceptions.MessageNacked",
        "billiard.active_children",
        "celery.Celery",
        "celery.bootsteps",
        "celery.signals.setup_logging",
        "celery.signals.worker_process_init",
        "celery.signals.worker_ready",
        "celery.worker.consumer.Consumer",
        "gunicorn.app.base.BaseApplication",
        "kombu.Consumer",
        "kombu.Exchange",
        "kombu.Queue",
        "kombu.binding",
        "kombu.connection.Connection",
        "kombu.exceptions.OperationalError",
        "kombu.pools",
        "kombu.serialization.register",
        "kombu.transport",
        "kombu.transport.pyamqp",
        "kombu.transport.redis",
        "kombu.utils.encoding.bytes_to_str",
    }
)
"""Imported names that the library's own documentation presents for use."""


@dataclass(frozen=True, slots=True)
class Row:
    """`where` is a `module:qualified.name`, `source` the fingerprint of its source."""

    where: str
    source: str
    names: str
    relies_on: str

    def read(self) -> str:
        """The library's source. Raises AttributeError or ImportError where the name is missing."""
        module, _, path = self.where.partition(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = inspect.getattr_static(found, name)
        if isinstance(found, (classmethod, staticmethod)):
            found = found.__func__
        # The function of a property, and of a cached one.
        for attribute in ("fget", "func"):
            found = getattr(found, attribute, found)
        return textwrap.dedent(inspect.getsource(found))


def rows() -> list[Row]:
    """The rows of `private_names.toml`."""
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return [Row(**row) for row in table["rows"]]


def fingerprint(source: str) -> str:
    """The first twelve hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def imports(source: str) -> set[str]:
    """The dotted names that a file imports from the libraries."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.partition(".")[0] in LIBRARIES}


def watched(files: Mapping[str, Path]) -> set[str]:
    """The modules that import a library, or whose classes have a base from such a module."""
    trees = {module: ast.parse(file.read_text(encoding="utf-8")) for module, file in files.items()}
    found = {module for module, file in files.items() if imports(file.read_text(encoding="utf-8"))}
    while more := {module for module, tree in trees.items() if _bases(tree) & found} - found:
        found |= more
    return found


def _bases(tree: ast.Module) -> set[str]:
    """The modules from which the bases of a file's classes are imported."""
    origins = {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    bases = (base for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases)
    return {origins[base.id] for base in bases if isinstance(base, ast.Name) and base.id in origins}


def touched(file: Path, module: str) -> set[str]:
    """The names of the libraries that a watched file touches; `module` is its dotted name."""
    source = file.read_text(encoding="utf-8")
    tree = ast.parse(source)
    found = {name.rpartition(".")[2] for name in imports(source) - DOCUMENTED}
    found |= {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and is_private(node.attr) and not _is_self(node.value)
    }
    for definition, cls in _classes(tree, importlib.import_module(module)):
        found |= _names_of_self(definition, cls) & _names_of_libraries(cls)
    return found


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _classes(tree: ast.Module | ast.ClassDef, holder: ModuleType | type) -> Iterator[tuple[ast.ClassDef, type]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            cls = getattr(holder, node.name)
            yield node, cls
            yield from _classes(node, cls)


def _names_of_self(definition: ast.ClassDef, cls: type) -> set[str]:
    """The names that a class of the kernel defines, and the attributes of `self` and `super()` that it uses."""
    used = {
        node.attr
        for node in ast.walk(definition)
        if isinstance(node, ast.Attribute) and (_is_self(node.value) or _is_super(node.value))
    }
    return {name for name in used | set(vars(cls)) if not name.startswith("__")}


def _names_of_libraries(cls: type) -> set[str]:
    """The attributes that the library's classes among its bases have, those of instances included."""
    found: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] in LIBRARIES:
            found |= set(vars(base))
            tree = ast.parse(Path(inspect.getfile(importlib.import_module(base.__module__))).read_text("utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and node.name == base.__name__:
                    found |= {
                        each.attr
                        for each in ast.walk(node)
                        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and _is_self(each.value)
                    }
    return found
