"""Every command that a message, a log line, a page or a document names can be typed: it exists and takes its arguments.

A message's command has all arguments that it needs. Prose in a document may leave out required ones.
"""

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from django.core.management import CommandError, get_commands, load_command_class

from tests.architecture.sources import ROOT, sources

CODE = ("platform", "modules", "deploy", "bench")
DOCUMENTS = ("*.md", "docs/*.md", "deploy/**/*.md", "gateway_conf/*.md")
SPAN = re.compile(r"`([^`]+)`")
COMMAND = re.compile(r"manage\.py (.+)", re.DOTALL)
FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
FILLED = "1"
"""Stands for the values of an f-string, and for `...`."""
OPERATORS = frozenset({"|", "&&", "||", ";", ">", ">>", "<", "&"})


class Advice(NamedTuple):
    """A command after `manage.py`, and the file that names it. `is_prose`: a document mentions it."""

    file: str
    command: str
    is_prose: bool = False


def in_code() -> Iterator[Advice]:
    for source in sources(*CODE):
        for _, string in source.strings():
            yield from (Advice(source.path, each) for each in commands(SPAN.findall(string.replace("{}", FILLED))))


def in_documents() -> Iterator[Advice]:
    for path in sorted({path for pattern in DOCUMENTS for path in ROOT.glob(pattern)}):
        text, file = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        for language, block in FENCE.findall(text):
            if language == "sh":
                lines = block.replace("\\\n", " ").splitlines()
                yield from (Advice(file, each) for each in commands(line for line in lines if line.strip()[:1] != "#"))
        prose = FENCE.sub("", text)
        for each in commands(SPAN.findall(prose)):
            if not set("|[") & set(each):  # a list of alternatives
                yield Advice(file, each, is_prose=True)


def commands(texts: Iterator[str] | list[str]) -> Iterator[str]:
    for each in texts:
        if found := COMMAND.search(each):
            yield " ".join(found.group(1).split())


def words(command: str) -> list[str]:
    """The words of a command, up to a comment or a shell's operator."""
    found = []
    for word in shlex.split(command.replace("...", FILLED).replace("…", FILLED), comments=True):
        if word in OPERATORS:
            break
        found.append(word.removesuffix(";"))
    return found


ADVICE = sorted({*in_code(), *in_documents()})


class TestAnAdvisedCommand:
    def test_is_found_in_code_and_documents(self) -> None:
        assert {"platform/pangaea/health/concerns.py", "docs/services.md"} <= {each.file for each in ADVICE}

    @pytest.mark.parametrize("advice", ADVICE, ids=lambda each: f"{each.file}: {each.command}")
    def test_exists_and_takes_its_arguments(self, advice: Advice) -> None:
        name, *arguments = words(advice.command)
        assert name in get_commands(), f"{advice.file} names {name!r}"
        if not arguments:
            return
        try:
            load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(arguments)
        except CommandError as error:
            if not (advice.is_prose and "are required" in str(error)):
                pytest.fail(f"{advice.file} names `manage.py {advice.command}`: {error}")
