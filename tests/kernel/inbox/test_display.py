"""A parked message is shown so that a person can read it, and so that no terminal or page obeys it."""

import json

import pytest

from pangaea.inbox.dead_letters import display
from pangaea.inbox.models import DeadLetter
from tests.kernel.unreadable import UNREADABLE, deep


def shown(body: str) -> str:
    return display.body_of(DeadLetter(body=body))


class TestBodyOf:
    def test_is_indented(self) -> None:
        assert shown('{"data":{"a":1,"b":[true,null]}}').splitlines()[:3] == ["{", '  "data": {', '    "a": 1,']

    @pytest.mark.parametrize("number", ["1.0", "1e400", "123456789012345678901234567890"])
    def test_keeps_a_number_as_it_was_written(self, number: str) -> None:
        assert f'"n": {number}' in shown(f'{{"n":{number}}}')

    def test_keeps_both_of_two_equal_members(self) -> None:
        assert shown('{"n":1,"n":5}').count('"n"') == 2

    @pytest.mark.parametrize("sign", ["\x1b", "\x9b", "\u202e", "\u200b", "\u2028", "\U000e0041", "\x7f"])
    def test_writes_what_cannot_be_seen_as_an_escape(self, sign: str) -> None:
        for body in (json.dumps({"text": f"a{sign}é"}, ensure_ascii=False), f"no json {sign}"):
            assert sign not in shown(body)
            assert "é" in shown(body) or "é" not in body

    @pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
    def test_shows_what_is_no_message(self, body: str) -> None:
        text = shown(body)
        assert "".join(text.split())[:20] == "".join(body.split())[:20]

    def test_is_not_longer_than_its_limit(self) -> None:
        for body in (f'["{"x" * 150_000}"]', f"[{'1,' * 60_000}1]", deep(90_000)):
            text = display.body_of(DeadLetter(body=body), at_most=display.PAGE_LENGTH)
            assert len(text) < display.PAGE_LENGTH + 100
            assert text.endswith("more characters: see `manage.py deadletters show`")
            assert len(shown(body)) >= len(body)


class TestCorrelationIdOf:
    def test_is_that_of_the_envelope(self) -> None:
        letter = DeadLetter(body='{"id":"1","correlationid":"mine","data":{}}')
        assert display.correlation_id_of(letter) == "mine"

    @pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
    def test_is_empty_where_there_is_none(self, body: str) -> None:
        assert display.correlation_id_of(DeadLetter(body=body)) == ""
