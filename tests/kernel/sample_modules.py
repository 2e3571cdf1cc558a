"""Modules written for one test, and installed instead of the project's."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

from django.test import override_settings

CONFIG = """
from pangaea.modules import ModuleConfig

class Config(ModuleConfig):
    name = "{label}"
"""


class Shelf:
    """A folder of modules. Files are given as source text; `config` holds lines of the module's declaration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.labels: list[str] = []

    def add(self, label: str, config: str = "", **files: str) -> None:
        package = self.folder / label
        package.mkdir()
        (package / "__init__.py").write_text("")
        declaration = "".join(f"    {line}\n" for line in dedent(config).strip().splitlines())
        (package / "apps.py").write_text(CONFIG.format(label=label) + declaration)
        for name, source in files.items():
            (package / f"{name}.py").write_text(dedent(source))
        self.labels.append(label)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Install these modules and the kernel, and no other app."""
        sys.path.insert(0, str(self.folder))
        importlib.invalidate_caches()
        try:
            with override_settings(INSTALLED_APPS=["pangaea", "django.contrib.contenttypes", *self.labels]):
                yield
        finally:
            sys.path.remove(str(self.folder))
            for name in [name for name in sys.modules if name.partition(".")[0] in self.labels]:
                del sys.modules[name]
