"""The vocabulary can fail, and holds on the project (`make check` runs it alone)."""

from pathlib import Path

import pytest

from tests.architecture import vocabulary
from tests.architecture.vocabulary import Vocabulary

LISTED = """
skip = ["generated/*"]

[[word]]
text = '\\banew\\b'
instead = "again"
allowed = [{ place = "poems/*", because = "a poem is quoted" }]

[[word]]
name = 'told'
instead = "signalled"
"""


@pytest.fixture
def listed(tmp_path: Path) -> Vocabulary:
    file = tmp_path / "vocabulary.toml"
    file.write_text(LISTED)
    return Vocabulary.read(file)


class TestAWord:
    @pytest.mark.parametrize("text", ["# made anew", '"""Made Anew."""', 'log("made anew")', 'f"{x} made anew"'])
    def test_is_found_in_comments_and_strings(self, text: str, listed: Vocabulary) -> None:
        assert list(listed.judge("a.py", f"x = 1\n{text}\n")) == [
            f"a.py:2 {'Anew' if 'Anew' in text else 'anew'!r}: again"
        ]

    def test_is_found_in_documents(self, listed: Vocabulary) -> None:
        assert list(listed.judge("a.md", "One\nmade anew\n")) == ["a.md:2 'anew': again"]

    def test_is_found_as_a_name(self, listed: Vocabulary) -> None:
        assert list(listed.judge("a.py", "def f():\n    _told = 1\n")) == ["a.py:2 'told': signalled"]

    def test_is_no_part_of_a_longer_name(self, listed: Vocabulary) -> None:
        assert not list(listed.judge("a.py", "untold = told_by = 1\n"))

    def test_is_no_name_in_prose(self, listed: Vocabulary) -> None:
        assert not list(listed.judge("a.py", "# told\n"))

    @pytest.mark.parametrize("path", ["poems/spring.md", "generated/a.md"])
    def test_may_stand_where_it_is_allowed(self, path: str, listed: Vocabulary) -> None:
        assert not list(listed.judge(path, "anew\n"))

    def test_needs_a_reason_where_it_is_allowed(self, tmp_path: Path) -> None:
        file = tmp_path / "vocabulary.toml"
        file.write_text(LISTED.replace(', because = "a poem is quoted"', ""))
        with pytest.raises(KeyError, match="because"):
            Vocabulary.read(file)


class TestTheProject:
    def test_has_one_vocabulary(self) -> None:
        assert not vocabulary.judge(vocabulary.files(), Vocabulary.read())

    def test_is_judged_where_it_is_written(self) -> None:
        judged = set(vocabulary.files())
        assert {"README.md", "Makefile", ".ci/run", "platform/pangaea/inbox/consume.py", "docs/services.md"} <= judged
