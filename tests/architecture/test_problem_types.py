"""Every code that an answer can have is explained, by a page at its `type`."""

import ast
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from rest_framework import exceptions as drf

from pangaea import errors, gateway, modules
from pangaea.api import problem_types
from pangaea.api.problems import STATUS_OF
from tests.architecture.sources import ROOT, Source, argument, sources, text

RAISED = {cls.__name__: status for cls, status in STATUS_OF.items()}
REMEDY = "Explain it: a module's in ModuleConfig.problems, the kernel's in platform/pangaea/api/problem_types.py."


def codes(source: Source) -> Iterator[tuple[str, int | None]]:
    """(code, status) of each domain error that the file raises, and of each problem document that it writes."""
    for call, name in source.calls():
        match name:
            case "Problem":
                code = text(argument(call, None, "code"))
                status = argument(call, None, "status")
            case "ParseError":
                code, status = text(argument(call, 1, "code")), ast.Constant(HTTPStatus.BAD_REQUEST.value)
            case _ if name in RAISED:
                code, status = text(argument(call, 0, "code")), ast.Constant(RAISED[name])
            case _:
                continue
        if code:
            yield code, _number(status)


def _number(status: ast.expr | None) -> int | None:
    match status:
        case ast.Constant(value=int(number)):
            return number
        case ast.Attribute(value=ast.Name(id="HTTPStatus"), attr=name):
            return HTTPStatus[name].value
    return None


def found(*folders: str) -> list[tuple[Source, str, int | None]]:
    return [
        (source, code, status)
        for folder in folders
        for source in sources(folder)
        if not source.is_test
        for code, status in codes(source)
    ]


def subclasses(cls: type[drf.APIException]) -> Iterator[type[drf.APIException]]:
    yield cls
    for each in cls.__subclasses__():
        yield from subclasses(each)


class TestACode:
    def test_of_the_kernel_is_explained_with_its_status(self) -> None:
        raised = {code: status for _, code, status in found("platform")}
        assert len(raised) > 20
        assert raised.keys() - problem_types.SHARED.keys() == set(), REMEDY
        statuses = {code: problem_types.SHARED[code].status for code, status in raised.items() if status is not None}
        assert statuses == {code: status for code, status in raised.items() if status is not None}

    def test_of_the_framework_is_explained(self) -> None:
        known = {cls.default_code for cls in subclasses(drf.APIException) if cls.__module__ == drf.__name__}
        # `pangaea.api.problems` answers these with codes of its own.
        assert known - {"invalid", "not_authenticated"} - problem_types.SHARED.keys() == set(), REMEDY

    def test_of_the_gateway_is_explained(self) -> None:
        answered = {each["code"] for each in gateway.template(ROOT / gateway.FOLDER)["answers"] if "code" in each}
        assert len(answered) > 10
        assert answered - problem_types.SHARED.keys() == set(), REMEDY

    @pytest.mark.parametrize("label", modules.labels())
    def test_of_a_module_is_explained_with_its_status(self, label: str) -> None:
        raised = {(code, status) for source, code, status in found("modules") if source.module == label}
        own = {each for each in raised if each[0] not in problem_types.SHARED}
        assert own == {(each.code, each.status) for each in modules.named(label).problems}, REMEDY

    def test_is_one_that_an_error_may_have(self) -> None:
        for each in (
            *problem_types.SHARED.values(),
            *(each for label in modules.labels() for each in modules.named(label).problems),
        ):
            assert errors.DomainError(each.code, each.explanation).code == each.code
            assert each.explanation.endswith("."), each.code


class TestTheSearch:
    def test_finds_what_is_raised_and_what_is_written(self) -> None:
        code = """
raise errors.Conflict("sold", "Sold.", sku=sku)
raise Invalid("odd", f"{odd}.")
answer = Problem(status=HTTPStatus.LENGTH_REQUIRED, code="length_required", detail="...")
return ParseError("No.", code="malformed_json")
"""
        assert list(codes(Source("modules/shop/commands.py", code, frozenset({"shop"})))) == [
            ("sold", 409),
            ("odd", 422),
            ("length_required", 411),
            ("malformed_json", 400),
        ]
