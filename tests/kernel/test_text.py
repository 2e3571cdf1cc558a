import unicodedata

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from pangaea import text

HIDDEN = {
    "a zero-width space": "\u200b",
    "a soft hyphen": "\u00ad",
    "a byte order mark": "\ufeff",
    "a word joiner": "\u2060",
    "a Hangul filler": "\u3164",
    "a half-width Hangul filler": "\uffa0",
    "a tag": "\U000e0041",
    "an override": "\u202e",
    "an embedding": "\u202a",
    "an isolate": "\u2067",
    "a NUL": "\0",
    "an escape": "\x1b",
    "a C1 control": "\x9b",
    "a delete": "\x7f",
    "a lone surrogate": "\ud800",
    "no character": "\uffff",
    "no character beyond the first plane": "\U0001ffff",
    "an annotation": "\ufffa",
}
SPELLINGS = {
    "Ada Lovelace": "Ada Lovelace",
    "  Ada\u00a0": "Ada",
    "Zoe\u0308": "Zoë",
    "李小龍": "李小龍",
    "می\u200cشود": "می\u200cشود",  # the Persian joiner
    "שלום\u200f!": "שלום\u200f!",  # a mark that turns nothing around
    "👩\u200d👩\u200d👧": "👩\u200d👩\u200d👧",
    "❤\ufe0f": "❤\ufe0f",
    "葛\U000e0100城": "葛\U000e0100城",  # a variant of a Japanese name
    "O'Neil-Åström, Jr.": "O'Neil-Åström, Jr.",
    "\U000105c0\u0378": "\U000105c0\u0378",  # a letter that came with Unicode 16, and one that no version has
}


class TestAName:
    @pytest.mark.parametrize(("raw", "name"), SPELLINGS.items())
    def test_has_one_spelling(self, raw: str, name: str) -> None:
        assert text.name(raw) == name
        assert text.name(name) == name

    @pytest.mark.parametrize("hidden", [*HIDDEN.values(), "\n", "\r", "\t", "\u2028", "\u2029", "\x85"], ids=ascii)
    def test_has_no_hidden_character(self, hidden: str) -> None:
        with pytest.raises(ValidationError, match=rf"Remove U\+{ord(hidden):04X} \("):
            text.name(f"Ada{hidden}Lovelace")

    @pytest.mark.parametrize("blank", ["", " ", "\u3000", "\u0301", "\u200d", "\u200e", "\ufe0f", "\u2800", "\u180e"])
    def test_has_a_visible_character(self, blank: str) -> None:
        with pytest.raises(ValidationError, match="can be seen"):
            text.name(blank)

    def test_names_what_to_remove(self) -> None:
        with pytest.raises(ValidationError, match=r"U\+202E \(RIGHT-TO-LEFT OVERRIDE\)"):
            text.name("invoice\u202egnp.exe")
        with pytest.raises(ValidationError, match=r"U\+000A \(a line break\)"):
            text.name("Ada\nBcc: all")


class TestProse:
    def test_keeps_lines_and_tabs(self) -> None:
        assert text.prose(" one\r\ntwo\rthree\n\n\tfour\n") == "one\ntwo\nthree\n\n\tfour"

    @pytest.mark.parametrize("empty", ["", "  \n "])
    def test_may_be_empty(self, empty: str) -> None:
        assert text.prose(empty) == ""

    @pytest.mark.parametrize("raw", [*HIDDEN.values(), "\u2028", "\n\u0301\n"], ids=ascii)
    def test_hides_nothing(self, raw: str) -> None:
        with pytest.raises(ValidationError, match="seen"):
            text.prose(f"\u0301{raw}" if raw.startswith("\n") else f"one {raw} two")


class TestAPassword:
    def test_has_one_spelling(self) -> None:
        assert text.opaque("cafe\u0301") == text.opaque("café") == "café"

    def test_has_one_kind_of_space(self) -> None:
        assert text.opaque("two\u00a0\u3000words ") == "two  words "

    @given(st.text())
    def test_is_never_refused(self, raw: str) -> None:
        assert text.opaque(text.opaque(raw)) == text.opaque(raw)


class TestFolded:
    @pytest.mark.parametrize("name", ["ADA", "ada ", "\uff21da", "Ada"])
    def test_is_equal_in_any_letter_case(self, name: str) -> None:
        assert text.folded(name) == "ada"


class TestShortened:
    def test_cuts_what_is_too_long_to_be_quoted(self) -> None:
        assert text.shortened("a" * 60) == "a" * 60
        assert text.shortened("a" * 61) == "a" * 60 + "…"


class TestEscaped:
    @pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
    def test_shows_what_is_hidden(self, hidden: str) -> None:
        assert text.escaped(f"a{hidden}b") == f"a{ascii(hidden)[1:-1]}b"

    def test_keeps_lines_where_they_are_wanted(self) -> None:
        assert text.escaped("one\n\ttwo\x1b") == r"one\n\ttwo\x1b"
        assert text.escaped("one\n\ttwo\x1b\r", lines=True) == "one\n\ttwo\\x1b\\r"

    @pytest.mark.parametrize("raw", SPELLINGS.values())
    def test_leaves_names_as_they_are(self, raw: str) -> None:
        assert text.escaped(raw) == raw

    @given(st.text(st.characters()))
    def test_moves_no_cursor(self, raw: str) -> None:
        shown = text.escaped(raw)
        assert not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in shown)
        shown.encode()


@given(st.text(st.characters(), max_size=50))
def test_what_is_accepted_is_stable_and_harmless(raw: str) -> None:
    for accept in (text.name, text.prose):
        try:
            accepted = accept(raw)
        except ValidationError:
            continue
        assert accept(accepted) == accepted
        assert text.escaped(accepted, lines=True) == accepted
        assert unicodedata.is_normalized("NFC", accepted)
