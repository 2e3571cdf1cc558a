"""How a mechanism of the API describes itself in the OpenAPI documents.

A mechanism has a function `describe(view, method, operation)`, listed in `pangaea.api.openapi.describers`. It is called
for each operation that it may apply to, with the method in capitals, and adds with the functions here what the
mechanism contributes: parameters, headers of answers, and the codes of its problems.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from rest_framework.views import APIView  # the settings make APIView import this file, by the mechanisms

Operation: TypeAlias = dict[str, Any]
Describer: TypeAlias = Callable[["APIView", str, Operation], None]

CODES = "x-codes"
HEADERS = "x-headers"
"""Members of an operation while it is described. `finish` replaces them by responses and their headers."""


def add_parameter(operation: Operation, parameter: Mapping[str, Any]) -> None:
    """Add a Parameter Object: name, in, description, schema, example; one of the same name and place is replaced."""
    parameters = operation.setdefault("parameters", [])
    same = (parameter["name"], parameter["in"])
    parameters[:] = [each for each in parameters if (each["name"], each["in"]) != same]
    parameters.append(dict(parameter))


def add_header(operation: Operation, name: str, header: Mapping[str, Any], *, statuses: Iterable[str]) -> None:
    """Add a Header Object (description, schema, example, required) to the operation's responses of these statuses.

    A status is three digits, or a class of them like `2XX`, or `*` for every response, `default` included. Responses
    that other describers add get the header too.
    """
    operation.setdefault(HEADERS, []).append((name, dict(header), frozenset(statuses)))


def add_problems(operation: Operation, *codes: str) -> None:
    """Add these codes to the operation's possible problems, each to the response of its status.

    The code is explained in `pangaea.api.problem_types` or in ModuleConfig.problems, where its status is declared.
    """
    operation.setdefault(CODES, []).extend(codes)


def applies(status: str, statuses: frozenset[str]) -> bool:
    """Whether a response of this status is among `statuses`, which may have classes (`2XX`) and `*`."""
    return bool(statuses & {"*", status, f"{status[0]}XX"})
