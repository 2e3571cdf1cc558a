"""Text from strangers: one spelling, visible, in one direction.

A stranger is a client, an operator or another program. What they write passes one of these functions where it enters,
and `escaped` where a terminal or a log shows it:

    name        one line that people read: a person's name, a product's
    prose       the same with line breaks: a description, a reason
    composed    any text, in one spelling: a search
    visible     text in which nothing is hidden: an address, a new password
    opaque      a password, as it is hashed
    folded      text that is compared whatever its letter case
    shortened   its beginning, for a message that quotes it
    escaped     text for a terminal or a log

Those that refuse raise Django's ValidationError; `validate_name` and `validate_prose` are validators of model fields.

Unicode: UAX 15 (normalisation), UAX 9 (direction), DerivedCoreProperties (Default_Ignorable_Code_Point); RFC 9839.
"""

import re
import unicodedata

from django.core.exceptions import ValidationError

_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_NO_CHARACTERS = r"\ufdd0-\ufdef\ufffe\uffff"
_NO_CHARACTERS_BEYOND = r"\ud800-\udfff" + "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(1, 17))
_DIRECTIONS = r"\u202a-\u202e\u2066-\u2069"
_HIDDEN = r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
_HIDDEN_BEYOND = r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
"""Characters without an image: Default_Ignorable_Code_Point, without what scripts and emoji are spelt with (joiners,
variation selectors, Mongolian's separators) and without the marks U+061C, U+200E and U+200F, which turn nothing around;
with the annotation characters U+FFF9 to U+FFFB."""

REFUSED = f"{_CONTROLS}{_NO_CHARACTERS}{_DIRECTIONS}{_HIDDEN}"
"""What `visible` refuses within the basic plane, as the inside of a regular expression's brackets. Its escape sequences
mean the same in ECMA 262, so OpenAPI documents use it; those of characters beyond do not."""
VISIBLE_PATTERN = rf"^[^{REFUSED}]*[^\s{REFUSED}][^{REFUSED}]*$"
"""A line that `name` accepts, as far as the basic plane goes. ECMA 262."""
_REFUSED = re.compile(f"[{REFUSED}{_NO_CHARACTERS_BEYOND}{_HIDDEN_BEYOND}]")
_SPACES = re.compile(r"[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
"""The spaces (Zs) besides U+0020."""
_LONGEST_QUOTE = 60
_BRAILLE_BLANK = "\u2800"


def name(raw: str) -> str:
    """One line in one spelling (NFC), without surrounding white space.

    Raises ValidationError if a character is hidden, breaks the line or turns the direction, or if none is visible.
    """
    text = composed(raw).strip()
    visible(text)
    return _with_an_image(text)


def prose(raw: str) -> str:
    """Lines in one spelling (NFC), each ended by a line feed; empty where there are none. Raises as `name` does."""
    text = composed(raw).replace("\r\n", "\n").replace("\r", "\n").strip()
    visible(text.replace("\n", "").replace("\t", ""))
    return _with_an_image(text) if text else text


def validate_name(raw: str) -> None:
    """Raise ValidationError for text that `name` refuses."""
    name(raw)


def validate_prose(raw: str) -> None:
    """Raise ValidationError for text that `prose` refuses."""
    prose(raw)


def composed(raw: str) -> str:
    """The text in the spelling in which letters and accents are one character each where there is one (NFC)."""
    return unicodedata.normalize("NFC", raw)


def visible(raw: str) -> str:
    """The text, unchanged. Raises ValidationError if a character is hidden, a control, or turns the direction."""
    if found := _REFUSED.search(raw):
        message = f"Remove {_named(found[0])}: it cannot be seen, and this text may be read as another."
        raise ValidationError(message, code="null_characters_not_allowed" if found[0] == "\0" else "invalid")
    return raw


def opaque(password: str) -> str:
    """The password in the spelling that is hashed (RFC 8265, 4.2.2): NFC, and every space is U+0020.

    Nothing is refused, because a password of an earlier version may have any character. Letter case and surrounding
    spaces stay.
    """
    return composed(_SPACES.sub(" ", password))


def folded(raw: str) -> str:
    """The text in the form in which letter case and compatible characters (full-width, ligatures) are equal."""
    return composed(unicodedata.normalize("NFKC", raw).strip().casefold())


def shortened(raw: str) -> str:
    """The text, cut where it is longer than a message should quote."""
    return raw if len(raw) <= _LONGEST_QUOTE else f"{raw[:_LONGEST_QUOTE]}…"


def escaped(raw: str, *, lines: bool = False) -> str:
    r"""The text with what `visible` refuses as Python's escape sequences: `\x1b`, `\u202e`. `lines` keeps \n and \t.

    A terminal would obey these characters: move the cursor, clear the screen, turn the line around.
    """
    return _REFUSED.sub(lambda found: found[0] if lines and found[0] in "\n\t" else _escape(found[0]), raw)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _named(character: str) -> str:
    """Its code point and its name: `U+200B (ZERO WIDTH SPACE)`."""
    point = f"U+{ord(character):04X}"
    if called := unicodedata.name(character, ""):
        return f"{point} ({called})"
    return f"{point} (a line break)" if character in "\n\r" else f"{point} (a control character)"


def _with_an_image(text: str) -> str:
    """The text. Raises ValidationError where it consists of spaces and marks alone."""
    if not any(_has_image(character) for character in text):
        raise ValidationError("Write something that can be seen.", code="blank")
    return text


def _has_image(character: str) -> bool:
    category = unicodedata.category(character)
    # A character that Python's version of Unicode does not know (Cn) is most likely a new letter or emoji.
    return category[0] not in "ZM" and category not in {"Cc", "Cf"} and character != _BRAILLE_BLANK
