"""Judges the project by `vocabulary.toml`: `python -m tests.architecture.vocabulary [PATH…]` lists what to mend."""

import io
import keyword
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("vocabulary.toml")
LISTING = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
"""Files that are not committed yet are judged too."""
TEXT = {".py", ".md", ".toml", ".ini", ".html", ".yaml", ".yml", ".js", ""}
FSTRINGS = {getattr(tokenize, name) for name in ("FSTRING_MIDDLE",) if hasattr(tokenize, name)}


@dataclass(frozen=True)
class Word:
    """A pattern that is not written, its replacement, and the places where it is allowed."""

    pattern: re.Pattern[str]
    is_name: bool
    instead: str
    allowed: tuple[str, ...]

    @classmethod
    def of(cls, entry: dict[str, Any]) -> "Word":
        """An entry of the file. Raises KeyError if it allows a place without a reason."""
        allowed = tuple(each["place"] for each in entry.get("allowed", ()) if each["because"])
        is_name = "name" in entry
        expression = rf"\A(?:{entry['name']})\Z" if is_name else entry["text"]
        return cls(re.compile(expression, 0 if is_name else re.IGNORECASE), is_name, entry["instead"], allowed)


@dataclass(frozen=True)
class Vocabulary:
    """The words, and the files that are not judged."""

    words: tuple[Word, ...]
    skip: tuple[str, ...]

    @classmethod
    def read(cls, file: Path = FILE) -> "Vocabulary":
        """The vocabulary in a TOML file."""
        entries = tomllib.loads(file.read_text(encoding="utf-8"))
        return cls(tuple(Word.of(entry) for entry in entries["word"]), tuple(entries["skip"]))

    def judge(self, path: str, text: str) -> Iterator[str]:
        """What is to be mended in that text, one line each; `path` is relative to the project."""
        if any(fnmatch(path, pattern) for pattern in self.skip):
            return
        words = [word for word in self.words if not any(fnmatch(path, place) for place in word.allowed)]
        prose, names = _parts(text) if path.endswith(".py") else (list(enumerate(text.splitlines(), 1)), [])
        for parts, of_names in ((prose, False), (names, True)):
            for line, part in parts:
                for word in words:
                    if word.is_name is of_names and (found := word.pattern.search(part)):
                        yield f"{path}:{line} {found[0]!r}: {word.instead}"


def _parts(source: str) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """The lines of prose in Python source (comments, strings), and its identifiers, each with its line's number."""
    prose: list[tuple[int, str]] = []
    names: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in {tokenize.COMMENT, tokenize.STRING, *FSTRINGS}:
            prose += [(token.start[0] + number, line) for number, line in enumerate(token.string.splitlines())]
        elif token.type == tokenize.NAME and not keyword.iskeyword(token.string):
            names.append((token.start[0], token.string.lstrip("_")))
    return prose, names


def files() -> list[str]:
    """The project's own text files, relative to its root. Without git, in an exported tree, all but hidden folders."""
    listed = subprocess.run(LISTING, cwd=ROOT, check=False, capture_output=True, text=True)
    paths = listed.stdout.split("\0") if listed.returncode == 0 else _exported()
    return [path for path in paths if path and Path(path).suffix in TEXT and (ROOT / path).is_file()]


def _exported() -> Iterator[str]:
    for folder in (".ci", ".github", *(path.name for path in ROOT.iterdir() if not path.name.startswith("."))):
        for path in (ROOT / folder, *(ROOT / folder).rglob("*")):
            if "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix()


def judge(paths: Iterable[str], vocabulary: Vocabulary) -> list[str]:
    """What is to be mended in these files."""
    return [fault for path in paths for fault in vocabulary.judge(path, (ROOT / path).read_text(encoding="utf-8"))]


def main(arguments: Sequence[str]) -> int:
    """Print what is to be mended, in the files that begin with one of the arguments, or in all."""
    faults = judge([path for path in files() if path.startswith(tuple(arguments) or "")], Vocabulary.read())
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
