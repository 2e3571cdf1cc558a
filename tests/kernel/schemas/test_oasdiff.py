"""The matrix: each rule of oasdiff's with its verdict, and ours."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest

from pangaea.api.releases import lifecycle, operations
from pangaea.schemas.compatibility.findings import Finding, Severity
from tests.kernel.schemas import oasdiff, oasdiff_operations, oasdiff_schemas
from tests.kernel.schemas.oasdiff import Case

SOURCES = (
    oasdiff.bounds,
    oasdiff.multiples,
    oasdiff.wholes,
    oasdiff_schemas.values,
    oasdiff_schemas.types,
    oasdiff_schemas.structure,
    oasdiff_schemas.members,
    oasdiff_operations.lifecycle,
    oasdiff_operations.security,
    oasdiff_operations.parameters,
    oasdiff_operations.bodies,
    oasdiff_operations.answers,
    oasdiff_operations.names,
)
SURE = {"request-parameter-property-type-changed"}
"""Warnings of oasdiff's, which doubts how a parameter is written, that are errors here."""
CASES = {source.__name__: list(source()) for source in SOURCES}


def found(case: Case) -> list[Finding]:
    on = date.fromisoformat(oasdiff_operations.TODAY)
    return [*operations.compare(case.old, case.new), *lifecycle.compare(case.old, case.new, on=on)]


def mistakes(case: Case) -> Iterator[str]:
    """What differs from the matrix."""
    findings = found(case)
    rules = {each.rule for each in findings}
    if bool(findings) is not case.breaks:
        yield f"{case.id} {'breaks' if case.breaks else 'fits'}, not {findings}"
    elif findings and (case.ours or case.id) not in rules:
        yield f"{case.id} is found by {case.ours or 'that rule'}, not by {rules}"
    elif (
        case.level == "warn"
        and Severity.WARNING not in {each.severity for each in findings}
        and not case.differs
        and case.id not in SURE
    ):
        yield f"{case.id} is a warning"


def ids() -> Iterator[str]:
    for cases in CASES.values():
        yield from (case.id for case in cases)
    for rules in oasdiff_operations.ABSENT.values():
        yield from rules


class TestARule:
    @pytest.mark.parametrize("group", CASES)
    def test_has_its_verdict(self, group: str) -> None:
        assert [each for case in CASES[group] for each in mistakes(case)] == []

    def test_with_another_verdict_is_a_mistake(self) -> None:
        case = next(each for each in CASES["members"] if each.id == "response-required-property-removed")
        assert list(mistakes(case)) == []
        assert list(mistakes(replace(case, level="info"))) != []
        assert list(mistakes(replace(case, ours="another-rule"))) != []


class TestTheMatrix:
    def test_has_each_rule_once(self) -> None:
        listed = list(ids())
        assert sorted({each for each in listed if listed.count(each) > 1}) == []

    def test_has_the_whole_list(self) -> None:
        assert len(list(ids())) == 691
