"""What modules may use of the kernel, name by name. A new name here is a decision: it is public from then on."""

import ast
import configparser
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import pytest

import pangaea
from tests.architecture.sources import ROOT, Source, sources

PUBLIC = {
    "pangaea.api.bodies": {"StrictCharField", "StrictIntegerField", "StrictSerializer", "refuse_repeated"},
    "pangaea.api.conditional_requests": {
        "Precondition",
        "conditional_change",
        "conditional_read",
        "returns_tag",
        "tagged",
    },
    "pangaea.api.filters": {"Filter", "FlagField", "MomentField", "NumberField"},
    "pangaea.api.fields": {"MoneySerializer", "NameField", "documented"},
    "pangaea.api.idempotency": {"idempotent", "not_idempotent"},
    "pangaea.api.pagination": {"CursorPage", "StrictCursorPage"},
    "pangaea.change_capture": {"Capture", "enum", "money"},
    "pangaea.databases.versions": {"VersionField"},
    "pangaea.errors": {
        "Conflict",
        "DomainError",
        "Forbidden",
        "Invalid",
        "Misuse",
        "NotFound",
        "Throttled",
        "Unauthenticated",
    },
    "pangaea.identity.password_attempts": {"counted"},
    "pangaea.identity.password_hashing": {"Bounded"},
    "pangaea.identity.password_spelling": {"Opaque"},
    "pangaea.identity.permissions": {"HasScope"},
    "pangaea.identity.principal": {"Principal"},
    "pangaea.identity.token_keys": {"public_jwks"},
    "pangaea.identity.tokens": {"issue", "verify"},
    "pangaea.ids": {"uuid7", "uuid7_from"},
    "pangaea.inbox.subscriptions": {"Projection", "Reaction"},
    "pangaea.messages": {"Command", "Event", "Money", "Operation", "Received"},
    "pangaea.modules": {
        *(
            "Deprecation",
            "Fails",
            "ModuleConfig",
            "Plan",
            "ProblemType",
            "Quota",
            "RateLimit",
            "Role",
            "Route",
            "Scope",
        ),
    },
    "pangaea.ops.admin": {"Figure", "LinkColumn", "ModuleAdmin", "MoneyColumn", "ReadOnlyAdmin", "ReadOnlyInline"},
    "pangaea.outbox": {"publish"},
    "pangaea.testing": {
        "Exchange",
        "Published",
        "access_token",
        "client_for",
        "deliver",
        "expire_answers",
        "free_port",
        "published",
        "verify_exchange",
        "wait_until",
    },
    "pangaea.text": {
        "REFUSED",
        "composed",
        "escaped",
        "name",
        "opaque",
        "prose",
        "validate_name",
        "validate_prose",
        "visible",
    },
}
"""{module of the kernel: what a module may use of it}, in its migrations and tests too."""


def uses(source: Source) -> Iterator[tuple[str, str]]:
    """(module of the kernel, name) for each name that the file uses, imported alone or read from its module."""
    named: dict[str, str] = {}
    for node in ast.walk(source.tree):
        match node:
            case ast.ImportFrom(module=str(package), names=names) if package.split(".")[0] == "pangaea":
                for each in names:
                    if _is_module(f"{package}.{each.name}"):
                        named[each.asname or each.name] = f"{package}.{each.name}"
                    else:
                        yield package, each.name
            case ast.Import(names=names):
                named |= {each.asname or each.name: each.name for each in names if each.name.split(".")[0] == "pangaea"}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and (module := named.get(ast.unparse(node.value))):
            yield module, node.attr


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is no package
        return False


def used() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for source in sources("modules"):
        for module, name in uses(source):
            found[module].add(name)
    return dict(found)


def allowed_by_the_contract() -> set[str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "importlinter.ini")
    lines = parser["importlinter:contract:public-kernel"]["ignore_imports"].split("\n")
    return {line.partition(" -> ")[2] for line in lines if line}


class TestThePublicNames:
    def test_are_all_that_the_modules_use(self) -> None:
        private = {module: names - PUBLIC.get(module, set()) for module, names in used().items()}
        assert {module: names for module, names in private.items() if names} == {}

    @pytest.mark.parametrize("module", PUBLIC)
    def test_exist(self, module: str) -> None:
        assert {name for name in PUBLIC[module] if not hasattr(import_module(module), name)} == set()

    def test_are_what_the_contract_allows(self) -> None:
        assert allowed_by_the_contract() == set(PUBLIC)

    def test_are_in_the_kernels_map(self) -> None:
        public = (pangaea.__doc__ or "").partition("Public, for modules:")[2].partition("Internal")[0]

        assert {f"pangaea.{name}" for name in re.findall(r"^ {4}([a-z_.]+) ", public, re.MULTILINE)} == set(PUBLIC)

    def test_are_found_however_they_are_imported(self) -> None:
        text = (
            "import pangaea.ids\nfrom pangaea import errors as e\nfrom pangaea.identity import tokens\n"
            "from pangaea.wire import Batch\npangaea.ids.uuid7()\nraise e.Invalid()\ntokens.issue()\n"
        )
        assert set(uses(Source("modules/a/b.py", text, frozenset()))) == {
            ("pangaea.ids", "uuid7"),
            ("pangaea.errors", "Invalid"),
            ("pangaea.identity.tokens", "issue"),
            ("pangaea.wire", "Batch"),
        }
