from pathlib import Path

import pytest

from pangaea import modules
from pangaea.messages import Event
from tests.kernel.sample_modules import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def listening(shelf: Shelf, label: str, *sources: str) -> None:
    """Add a module that subscribes to these others."""
    classes = "".join(
        f"class {source.title()}(Event, frozen=True):\n    wire_name: ClassVar[str] = '{source}.spoke'\n"
        f"ears.on({source.title()})(print)\n"
        for source in sources
    )
    handlers = (
        "from typing import ClassVar\nfrom pangaea.inbox.subscriptions import Projection\n"
        f"from pangaea.messages import Event\nears = Projection('{label}.ears')\n{classes}"
    )
    shelf.add(label, f"subscriptions = ('{label}.handlers.ears',)", handlers=handlers)


class TestUpstreamFirst:
    def test_puts_producers_before_their_subscribers(self, shelf: Shelf) -> None:
        listening(shelf, "a", "b", "c")
        listening(shelf, "b", "c")
        listening(shelf, "c")
        with shelf.installed():
            assert [module.label for module in modules.upstream_first()] == ["c", "b", "a"]

    def test_is_ordered_by_label_without_subscriptions(self, shelf: Shelf) -> None:
        for label in ("b", "c", "a"):
            listening(shelf, label)
        with shelf.installed():
            assert [module.label for module in modules.upstream_first()] == ["a", "b", "c"]

    def test_is_ordered_by_label_where_modules_subscribe_to_each_other(self, shelf: Shelf) -> None:
        listening(shelf, "b", "a")
        listening(shelf, "a", "b")
        listening(shelf, "c", "a")
        with shelf.installed():
            assert [module.label for module in modules.upstream_first()] == ["a", "b", "c"]

    def test_accepts_a_module_that_subscribes_to_itself_or_to_an_absent_one(self, shelf: Shelf) -> None:
        listening(shelf, "a", "a", "elsewhere")
        with shelf.installed():
            assert [module.label for module in modules.upstream_first()] == ["a"]


class TestTheRegistry:
    def test_holds_the_modules_by_label_and_nothing_else(self, shelf: Shelf) -> None:
        listening(shelf, "b")
        listening(shelf, "a")
        with shelf.installed():
            assert modules.labels() == ["a", "b"]
            assert modules.named("b").name == "b"
        assert "a" not in modules.labels()

    def test_names_the_installed_ones_when_asked_for_another(self, shelf: Shelf) -> None:
        listening(shelf, "a")
        with shelf.installed(), pytest.raises(LookupError, match=r"no module 'nowhere' .* Installed: a\."):
            modules.named("nowhere")

    def test_reports_none_when_none_is_installed(self, shelf: Shelf) -> None:
        with shelf.installed(), pytest.raises(LookupError, match=r"Installed: none\."):
            modules.named("nowhere")

    def test_knows_in_which_module_a_class_was_written(self, shelf: Shelf) -> None:
        listening(shelf, "a")
        listening(shelf, "ab")
        with shelf.installed():
            assert modules.owner_of(type("Spoke", (), {"__module__": "a.messages"})) is modules.named("a")
            assert modules.owner_of(type("Spoke", (), {"__module__": "ab.messages"})) is modules.named("ab")
            assert modules.owner_of(Event) is None


class TestDiscover:
    def test_finds_every_package_that_declares_itself(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for label in ("b", "a"):
            (tmp_path / "landscape" / label).mkdir(parents=True)
            (tmp_path / "landscape" / label / "apps.py").touch()
        (tmp_path / "landscape" / "notes").mkdir()
        (tmp_path / "landscape" / "apps.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        assert modules.discover("landscape") == ["a", "b"]

    def test_finds_nothing_where_there_is_no_package(self) -> None:
        assert modules.discover("atlantis") == []

    def test_finds_the_modules_of_this_process(self) -> None:
        assert set(modules.labels()) <= set(modules.discover())
        assert (modules.project_root() / modules.PACKAGE / modules.labels()[0] / "apps.py").is_file()
