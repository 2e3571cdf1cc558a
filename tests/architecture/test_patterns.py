"""docs/patterns.md: each pattern that is built names how to see it, by targets and tests that exist."""

import re

import pytest

from tests.architecture.sources import ROOT

TEXT = (ROOT / "docs" / "patterns.md").read_text(encoding="utf-8")
PATTERNS = dict(re.findall(r"^## (\d+\. [^\n]+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
MAKE = re.compile(r"`make ([a-z-]+)(?: ARGS=(?:\"([^\"]+)\"|([^`\s]+)))?`")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def seen(pattern: str) -> str:
    """Its "See it", on one line."""
    _, _, rest = PATTERNS[pattern].partition("**See it.**")
    return " ".join(rest.partition("**Not when**")[0].split())


class TestThePatterns:
    def test_are_all_there(self) -> None:
        assert [int(title.partition(".")[0]) for title in PATTERNS] == list(range(1, 23))

    @pytest.mark.parametrize("pattern", PATTERNS)
    def test_that_are_built_can_be_seen(self, pattern: str) -> None:
        assert seen(pattern) or "**Built" not in PATTERNS[pattern]

    @pytest.mark.parametrize("pattern", [each for each in PATTERNS if seen(each)])
    def test_name_targets_and_tests_that_exist(self, pattern: str) -> None:
        for target, quoted, bare in MAKE.findall(seen(pattern)):
            assert target in TARGETS, target
            words = (quoted or bare).split()
            selected = words.index("-k") if "-k" in words else len(words)
            paths, expression = words[:selected], words[selected + 1 :]
            assert paths or not words, f"{quoted}: without a path it collects every test"
            for path in paths:
                assert (ROOT / path).exists(), path
            texts = "".join((ROOT / path).read_text(encoding="utf-8") for path in paths if path.endswith(".py"))
            assert all(re.search(rf"def test_\w*{word}", texts) for word in expression), expression
