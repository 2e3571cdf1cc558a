"""A module that is added touches no file outside its folder, except rendered ones, and works with the others.

The module is `billing/` beside this file, written as CONTRIBUTING describes.
"""

import filecmp
import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from pangaea.testing import free_port, wait_until
from tests.architecture.sources import ROOT
from tests.architecture.test_extraction import LEFT_BEHIND, environment, python

LABEL = "billing"
SHELL = re.compile(r"^ *```sh\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
"""The shell commands of a Markdown document."""
RENDERED = {"docs/openapi.yaml", "gateway_conf/envoy.plain.yaml", "gateway_conf/envoy.split.yaml"}
PAUSE = (
    'sleep() { until curl -sS "$URL/api/v1/bills" -H "Authorization: Bearer $TOKEN" | grep -q order_id; do '
    "command sleep 0.1; done; }\n"
)
"""The walk's pauses, as long as this machine needs."""
IGNORED = [".local", ".git", ".venv", "__pycache__", ".hypothesis", ".mypy_cache", ".ruff_cache", ".pytest_cache"]

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one more module, everything rendered again."""
    if (ROOT / "modules" / LABEL).exists():
        pytest.skip("modules/billing is there already, so it cannot be added")
    copy = tmp_path_factory.mktemp("added") / "project"
    shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND, symlinks=True)
    commands = next(each for each in SHELL.findall((ROOT / "CONTRIBUTING.md").read_text()) if "billing" in each)
    subprocess.run(["sh", "-eu", "-c", commands], check=True, cwd=copy)
    python(copy, "manage.py", "makemigrations", LABEL)
    python(copy, "manage.py", "render")
    python(copy, "manage.py", "openapi", "release", LABEL)
    return copy


def differences(left: Path, right: Path, below: Path = Path()) -> Iterator[str]:
    """The files of `right` that `left` lacks or has otherwise, and the folders that it lacks."""
    compared = filecmp.dircmp(left / below, right / below, ignore=IGNORED)
    for name in (*compared.right_only, *compared.diff_files):
        yield (below / name).as_posix()
    for name in compared.common_dirs:
        yield from differences(left, right, below / name)


@contextmanager
def running(copy: Path) -> Iterator[httpx.Client]:
    """The whole project on SQLite, with its demo data."""
    python(copy, "manage.py", "migrate", "--verbosity", "0")
    python(copy, "manage.py", "seed_demo")
    address = f"127.0.0.1:{free_port()}"
    log = copy / ".local" / "runserver.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--noreload", address],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=copy,
            env=environment(copy),
        ) as server,
        httpx.Client(base_url=f"http://{address}", timeout=10, trust_env=False) as client,
    ):

        def ready() -> bool:
            assert server.poll() is None, log.read_text()
            try:
                return client.get("/readyz").is_success
            except httpx.TransportError:
                return False

        try:
            wait_until(ready, what="/readyz to answer 200", seconds=60)
            yield client
        finally:
            server.terminate()


def walk(client: httpx.Client) -> str:
    """The commands on the start page, as one copies them."""
    page = client.get("/", headers={"Accept": "text/html"}).raise_for_status().text
    [block] = re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    commands = html.unescape(re.sub(r"<[^>]*>", "", block))
    return commands.replace("https://this.page", str(client.base_url).rstrip("/"))


class TestAnAddedModule:
    def test_changes_rendered_files_alone(self, project: Path) -> None:
        assert set(differences(ROOT, project)) == {f"modules/{LABEL}", *RENDERED}

    def test_is_in_the_rendered_files(self, project: Path) -> None:
        for file in RENDERED:
            assert "/api/v1/bills" in (project / file).read_text(), file
        document = (project / "docs/openapi.yaml").read_text()
        assert "billing:pay: Pay the caller's own bills." in document
        assert "operationId: billing_pay_bill" in document

    def test_passes_the_checks(self, project: Path) -> None:
        python(project, "manage.py", "check")
        python(project, "manage.py", "makemigrations", "--check", "--dry-run")
        python(project, "manage.py", "render", "--check")
        python(project, "manage.py", "openapi", "check")

    def test_passes_its_own_tests_and_those_of_the_architecture(self, project: Path) -> None:
        names = ("test_imports", "test_rules", "test_registry", "test_public_names", "test_problem_types")
        suites = [f"tests/architecture/{name}.py" for name in names]
        python(project, "-m", "pytest", f"modules/{LABEL}", *suites, "-q", "-p", "no:cacheprovider", seconds=600)
        python(project, "-m", "pytest", "tests/architecture/test_maps.py", "-k", LABEL, "-q", "-p", "no:cacheprovider")

    def test_works_with_a_customers_token(self, project: Path) -> None:
        with running(project) as client:
            account = {"email": f"{uuid4()}@example.com", "password": "continental-drift"}
            client.post("/api/v1/accounts", json={**account, "full_name": "Alfred Wegener"}).raise_for_status()
            token = client.post("/api/v1/tokens", json=account).json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            order = client.post("/api/v1/orders", json={"lines": [{"sku": "MAP-PANGAEA", "quantity": 2}]}).json()

            def bills() -> list[dict[str, Any]]:
                return list(client.get("/api/v1/bills").raise_for_status().json()["results"])

            [bill] = wait_until(bills, what="the order's bill", seconds=30)
            paid = client.post(f"/api/v1/bills/{bill['id']}/pay")

        assert (bill["order_id"], bill["total"]) == (order["id"], order["total"])
        assert (paid.status_code, bool(paid.json()["paid_at"])) == (200, True)

    def test_shows_the_bill_of_the_order_in_the_walk(self, project: Path) -> None:
        with running(project) as client:
            commands = walk(client)
            done = subprocess.run(
                ["bash", "-eu", "-c", PAUSE + commands], check=True, capture_output=True, text=True, timeout=60
            )
        *_, order, bills, _home = map(json.loads, done.stdout.splitlines())

        assert [bill["order_id"] for bill in bills["results"]] == [order["id"]]
        assert commands.index("sleep") < commands.index("/api/v1/bills")
