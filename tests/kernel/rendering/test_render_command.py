"""Rendered files are up to date, are named when they are not, and describe the whole system."""

import os
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.test import Client
from openapi_spec_validator import validate

from pangaea import gateway, modules
from pangaea.rendering import registry, settings
from tests.kernel.configuration.test_settings import ROOT

COMMITTED = ROOT / "docs" / "openapi.yaml"

if modules.labels() != modules.discover() or not COMMITTED.is_file():
    pytest.skip("shows the documents of all modules together", allow_module_level=True)


def render(*arguments: str, root: Path = ROOT) -> str:
    output = StringIO()
    call_command("render", *arguments, "--directory", str(root), stdout=output)
    return output.getvalue()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder with the sources of the renderers, and no rendered file."""
    (tmp_path / gateway.FOLDER).mkdir()
    for name in (gateway.TEMPLATE, gateway.TOPOLOGIES):
        shutil.copy(ROOT / gateway.FOLDER / name, tmp_path / gateway.FOLDER)
    return tmp_path


class TestRender:
    def test_finds_the_committed_files_up_to_date(self) -> None:
        assert "up to date" in render("--check")

    def test_writes_what_is_missing_and_names_it_before(self, project: Path) -> None:
        with pytest.raises(CommandError) as refused:
            render("--check", root=project)
        for name in ("docs/settings.md", ".env.example", "docs/openapi.yaml", "gateway_conf/envoy.plain.yaml"):
            assert name in str(refused.value)
            assert not (project / name).exists()
        render(root=project)
        assert (project / "docs" / "openapi.yaml").read_text() == COMMITTED.read_text()
        assert "up to date" in render("--check", root=project)

    @pytest.mark.parametrize("name", [".env.example", "docs/openapi.yaml", "gateway_conf/envoy.plain.yaml"])
    def test_names_the_outdated_file_no_other_and_the_remedy(self, project: Path, name: str) -> None:
        render(root=project)
        (project / name).write_text("outdated")
        with pytest.raises(CommandError, match=rf"^Not up to date: {name}\. Run `python manage\.py render` and commit"):
            render("--check", root=project)

    def test_renders_only_what_is_named(self, project: Path) -> None:
        render("settings", root=project)
        assert (project / "docs" / "settings.md").is_file()
        assert not (project / "docs" / "openapi.yaml").exists()

    def test_refuses_an_unknown_name_and_gives_those_there_are(self) -> None:
        with pytest.raises(CommandError, match=r"rendered as schemas\. There are: settings, states, openapi, gateway"):
            render("schemas")

    def test_names_the_folder_without_the_gateways_sources(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match=r"There is no \S+envoy.template.yaml"):
            render("gateway", root=tmp_path)

    def test_renders_no_part_of_the_system(self) -> None:
        def of_one_module(*names: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [sys.executable, ROOT / "manage.py", "render", *names, "--check"],
                check=False,
                capture_output=True,
                text=True,
                cwd=ROOT,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}",
                    "PANGAEA_MODULES": modules.labels()[0],
                },
            )

        done = of_one_module()
        assert done.returncode == 1
        assert "PANGAEA_MODULES" in done.stderr
        assert of_one_module("settings").returncode == 0

    def test_has_one_renderer_per_file(self, project: Path) -> None:
        rendered = [path for name in registry.NAMES for path in registry.render([name], project)]
        assert len(rendered) == len(set(rendered))


class TestTheApiDocument:
    def test_is_valid_and_is_what_is_served(self) -> None:
        document = yaml.safe_load(COMMITTED.read_text())
        validate(document)
        assert document == Client().get("/api/schema/").json()


class TestTheSettings:
    def test_are_all_there_and_no_secret_is(self) -> None:
        document, example = settings.document(), settings.example()
        for name in ("PANGAEA_MODULES", "DATABASE_URL", "RELAY_BATCH"):
            assert f"| `{name}` |" in document
            assert f"# {name}=" in example
        assert "| `SECRET_KEY` |  | secret |" in document

    def test_have_durations_with_units(self) -> None:
        assert "| `LOG_IN_PAUSE` | `15m` |" in settings.document()
        assert "# REFRESH_TOKEN_LIFETIME=30d\n" in settings.example()
