"""The README's snippets are code of the repository, and the documents' links lead to files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
]
NOW = [path for path in DOCUMENTS if path.parent.name != "adr" and path.name != "CHANGELOG.md"]
"""Those that describe what is there; a decision names files as they were when it was taken."""
PATHS = re.compile(r"(?<![\w/.-])((?:platform/pangaea|modules|tests|bench|deploy|gateway_conf)/[\w./*-]*[\w/*])")
EXAMPLE = "modules/billing"
"""The module that CONTRIBUTING adds."""
SNIPPET = re.compile(r"<!-- (?P<path>\S+) -->\n```python\n(?P<code>.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
PATTERNS = 22


def missing_lines(code: str, source: str) -> list[str]:
    """The lines of a snippet that the source lacks, or has in another order."""
    lines = iter(source.splitlines())
    return [line for line in code.splitlines() if line.strip() not in {"", "..."} and line not in lines]


class TestReadme:
    def test_shows_code_of_the_repository(self) -> None:
        snippets = list(SNIPPET.finditer((ROOT / "README.md").read_text()))
        assert len(snippets) >= 2
        for snippet in snippets:
            source = (ROOT / snippet["path"]).read_text()
            assert missing_lines(snippet["code"], source) == [], snippet["path"]

    def test_a_line_that_the_source_lacks_is_found(self) -> None:
        assert missing_lines("a = 1\nb = 2\n", "a = 1\nc = 3\n") == ["b = 2"]


class TestContributing:
    def test_shows_code_that_is_really_there(self) -> None:
        snippets = list(SNIPPET.finditer((ROOT / "CONTRIBUTING.md").read_text()))
        assert len(snippets) >= len(list((ROOT / "tests" / "architecture" / "billing").glob("*.py-tpl"))) - 2
        for snippet in snippets:
            source = (ROOT / snippet["path"]).read_text()
            assert missing_lines(snippet["code"], source) == [], snippet["path"]


class TestLinks:
    @pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
    def test_lead_to_existing_files(self, document: Path) -> None:
        broken = [link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()]
        assert not broken


class TestPaths:
    @pytest.mark.parametrize("document", NOW, ids=lambda path: path.relative_to(ROOT).as_posix())
    def test_are_there(self, document: Path) -> None:
        named = [path for path in PATHS.findall(document.read_text()) if not path.startswith(EXAMPLE)]
        missing = [path for path in named if not any(ROOT.glob(path.rstrip("/.")))]
        assert not missing


class TestPatterns:
    def test_names_all_of_them(self) -> None:
        text = (ROOT / "docs" / "patterns.md").read_text()
        assert len(re.findall(r"^## \d+\. ", text, re.MULTILINE)) == PATTERNS
