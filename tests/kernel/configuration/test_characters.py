"""What editors, shells and web pages add to a value is refused by the variable's name, for every setting."""

from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from pangaea.configuration.declared import Declared, variable
from pangaea.configuration.environment import Environment, Unreadable
from pangaea.configuration.reading import declared
from tests.kernel.configuration.test_config_command import manage
from tests.kernel.configuration.test_settings import GOOD, MODULE, problems

SERVICE = GOOD | {"PANGAEA_MODULES": MODULE}
# A value and the file that holds it exclude each other, which is another mistake.
ALL = [each for each in fields(Declared) if each.name != "signing_key_file"]
ADDED = {
    "quotation marks": ('"{}"', "quotation marks"),
    "single quotation marks": ("'{}'", "quotation marks"),
    "typographic quotation marks": ("\u201c{}\u201d", "quotation marks"),
    "a byte order mark": ("\ufeff{}", "byte order mark"),
    "a no-break space": ("{}\u00a0", "no ordinary one"),
    "a zero-width space": ("{}\u200b", "an invisible character"),
    "a soft hyphen": ("{}\u00ad", "an invisible character"),
    "a change of direction": ("\u202e{}", "an invisible character"),
    "an escape": ("{}\x1b[0m", "a control character"),
    "a byte that is not UTF-8": ("{}\udce9", "not UTF-8"),
}


def text_of(each: "Field[Any]") -> str:
    return SERVICE.get(variable(each), "hunter2")


class TestEveryVariable:
    @pytest.mark.parametrize("added", ADDED)
    def test_is_refused_with_what_does_not_belong_to_its_value(self, added: str) -> None:
        pattern, named = ADDED[added]
        environ = {variable(each): pattern.format(text_of(each)) for each in ALL}
        found = problems(environ)
        for name in environ:
            assert [problem for problem in found if problem.startswith(f"{name} ") and named in problem], name
        assert not [problem for problem in found if "hunter2" in problem]

    @pytest.mark.parametrize(
        ("content", "named"),
        [("\ufeff{}".encode(), "byte order mark"), ("{}\n".encode("utf-16"), "not UTF-8"), (b"\xe9{}", "not UTF-8")],
        ids=["byte order mark", "UTF-16", "Latin-1"],
    )
    def test_is_refused_by_its_file(self, content: bytes, named: str, tmp_path: Path) -> None:
        for each in ALL:
            (tmp_path / each.name).write_bytes(content.replace(b"{}", text_of(each).encode()))
        environ = {f"{variable(each)}_FILE": str(tmp_path / each.name) for each in ALL}
        found = problems(environ)
        for name in environ:
            assert [problem for problem in found if problem.startswith(f"{name} ") and named in problem], name


class TestTheFolderOfTheLocalProfile:
    @pytest.mark.parametrize("added", ADDED)
    def test_is_refused_by_its_variable(self, added: str) -> None:
        pattern, named = ADDED[added]
        (problem,) = problems({"LOCAL_STATE_DIR": pattern.format("folder")}, "local")
        assert problem.startswith("LOCAL_STATE_DIR ")
        assert named in problem

    def test_is_refused_by_a_file_that_is_missing(self, tmp_path: Path) -> None:
        (problem,) = problems({"LOCAL_STATE_DIR_FILE": str(tmp_path / "absent")}, "local")
        assert problem.startswith("LOCAL_STATE_DIR_FILE names ")


class TestThePackageOfTheModules:
    def test_is_refused_once(self) -> None:
        (problem,) = problems(SERVICE | {"PANGAEA_MODULES_PACKAGE": "'modules'"})
        assert problem.startswith("PANGAEA_MODULES_PACKAGE is in quotation marks")


class TestAFile:
    @pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
    def test_may_end_with_line_breaks(self, ending: str, tmp_path: Path) -> None:
        (tmp_path / "audience").write_bytes(f"shop{ending}".encode())
        assert declared({"AUDIENCE_FILE": str(tmp_path / "audience")}).audience == "shop"

    def test_has_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("first\nsecond\n")
        assert "SECRET_KEY_FILE has several lines: set one." in problems(
            {"SECRET_KEY_FILE": str(tmp_path / "key")}, "monolith"
        )

    @pytest.mark.parametrize("line_break", ["\n", "\r\n"])
    def test_may_have_the_lines_of_a_key(self, line_break: str, tmp_path: Path) -> None:
        pem = ECKey.generate_key("P-256").as_pem(private=True).decode()
        (tmp_path / "key").write_bytes(pem.replace("\n", line_break).encode())
        assert declared({"SIGNING_KEY_FILE": str(tmp_path / "key")}).signing_key == pem.strip()


class TestAText:
    @pytest.mark.parametrize("text", [" shop", "shop "])
    def test_neither_begins_nor_ends_with_a_space(self, text: str) -> None:
        (problem,) = problems(SERVICE | {"AUDIENCE": text})
        assert problem == "AUDIENCE begins or ends with a space: remove it."

    def test_may_have_a_quotation_mark_in_it(self) -> None:
        assert declared({"SECRET_KEY": "it's\"5"}).secret_key == "it's\"5"


class TestAList:
    @pytest.mark.parametrize("name", ["SECRET_KEY_FALLBACKS", "ALLOWED_HOSTS", "ACCEPTED_CALLERS"])
    def test_has_no_item_in_quotation_marks(self, name: str) -> None:
        found = problems(SERVICE | {name: "a,'b'"})
        assert f"{name} has an item in quotation marks, which would be a part of it: set it without them." in found


class TestAPasswordOfAModule:
    def test_is_read_by_the_same_rules(self, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("\ufeffhunter2")
        for name, value in (("P", "'hunter2'"), ("P", "hun\nter2"), ("P_FILE", str(tmp_path / "password"))):
            with pytest.raises(Unreadable, match=f"^{name} ") as refused:
                Environment({name: value}).text("P")
            assert "hunter2" not in str(refused.value)

    def test_ends_the_command_that_reads_it_by_name(self) -> None:
        environ = {"BROKER_URL": "amqp://127.0.0.1:1//", "ORDERS_BROKER_PASSWORD": "'hunter2'"}
        done = manage("permissions", "render", "--rabbitmq", environ=environ)
        assert done.returncode == 1
        assert "ORDERS_BROKER_PASSWORD is in quotation marks" in done.stderr
        assert "Traceback" not in done.stderr
