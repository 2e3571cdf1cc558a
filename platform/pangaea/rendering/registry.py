"""The renderers of committed files; comparing and writing their texts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings as django_settings

from pangaea import modules
from pangaea.errors import Misconfigured
from pangaea.rendering import gateway, openapi, settings, states


@dataclass(frozen=True, slots=True)
class Renderer:
    """Files that are rendered together."""

    name: str
    paths: str
    """For --help: the files, relative to the project's folder."""
    render: Callable[[Path], Mapping[Path, str]]
    """Takes the project's folder; returns the text of each file by its path. Raises Misconfigured."""
    of_modules: bool = True
    """Whether the files describe the modules, so that all modules must be installed."""


RENDERERS = (
    Renderer("settings", "docs/settings.md, .env.example", settings.files, of_modules=False),
    Renderer("states", "docs/states.md", states.files, of_modules=False),
    Renderer("openapi", "docs/openapi.yaml", openapi.files),
    Renderer("gateway", "gateway_conf/envoy.*", gateway.files),
)
NAMES = tuple(each.name for each in RENDERERS)


def render(names: Sequence[str], root: Path) -> dict[Path, str]:
    """The texts of the named renderers (all, if none is named) by path, for the project in the folder `root`.

    Raises Misconfigured if a renderer cannot render, or if this process lacks a module.
    """
    chosen = [each for each in RENDERERS if each.name in (names or NAMES)]
    missing = set(modules.discover(django_settings.PANGAEA.modules_package)) - set(modules.labels())
    if missing and any(each.of_modules for each in chosen):
        raise Misconfigured(
            f"This process lacks {', '.join(sorted(missing))}, so it cannot render all of them: unset PANGAEA_MODULES."
        )
    return {path: text for each in chosen for path, text in each.render(root).items()}


def outdated(files: Mapping[Path, str]) -> list[Path]:
    """The files whose content is not the rendered text."""
    return [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def write(files: Mapping[Path, str]) -> None:
    """Write all files; missing folders are created."""
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
