"""A library that changes a private name which the kernel touches fails here, before it fails in production."""

import re
from pathlib import Path

import pytest

import pangaea
from tests.kernel.private_names import Row, fingerprint, rows, touched, watched

KERNEL = Path(pangaea.__file__).parent
FILES = {".".join(("pangaea", *file.relative_to(KERNEL).with_suffix("").parts)): file for file in KERNEL.rglob("*.py")}
PLANTED = """
from celery.worker.state import revoked
from kombu import Consumer
from kombu.connection import Connection


class Own(Consumer):
    def __init__(self):
        self.mine = self._queues

    def purge(self):
        return super().purge()


def job(pool):
    return pool._putlock
"""


class TestTheTable:
    @pytest.mark.parametrize("row", rows(), ids=lambda row: row.where)
    def test_describes_the_installed_library(self, row: Row) -> None:
        source = row.read()
        assert fingerprint(source) == row.source, (
            f"{row.where} has changed: read it beside the kernel's use of {row.names or 'it'} "
            f"({row.relies_on}), then set the fingerprint {fingerprint(source)}"
        )
        missing = [name for name in row.names.split() if not re.search(rf"\b{name}\b", f"{row.where} {source}")]
        assert not missing

    def test_has_every_name_that_the_kernel_touches(self) -> None:
        listed = {name for row in rows() for name in row.names.split()}
        found = {module: sorted(touched(FILES[module], module) - listed) for module in watched(FILES)}
        assert {module: names for module, names in found.items() if names} == {}

    def test_has_no_name_that_the_kernel_does_not_touch(self) -> None:
        text = "\n".join(FILES[module].read_text(encoding="utf-8") for module in watched(FILES))
        assert [name for row in rows() for name in row.names.split() if not re.search(rf"\b{name}\b", text)] == []


class TestTheSearch:
    def test_follows_a_base_through_another_file(self) -> None:
        assert "pangaea.processes.web.draining" in watched(FILES)

    def test_finds_planted_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "planted_names.py"
        file.write_text(PLANTED)
        monkeypatch.syspath_prepend(tmp_path)
        assert touched(file, "planted_names") == {"revoked", "_queues", "purge", "_putlock"}
