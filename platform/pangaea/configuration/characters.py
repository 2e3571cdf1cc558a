"""Characters that the text of no setting has, although editors, shells and copies from a page put them there.

They cannot be seen, or look like a part of the notation; the value would be another one than the operator reads.
"""

import unicodedata

_KINDS = {
    "Cc": "a control character",
    "Cf": "an invisible character",
    "Zs": "a space that is no ordinary one",
    "Zl": "a line break that is no ordinary one",
    "Zp": "a line break that is no ordinary one",
    "Cs": "a byte that is not UTF-8",
    "Cn": "a character that Unicode does not have",
}
_BYTE_ORDER_MARK = "\ufeff"
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019"}


def problem(text: str, *, lines: bool = False) -> str:
    """What is wrong with a setting's text, and the remedy, without quoting it; empty if nothing is.

    `lines`: the text may have several lines.
    """
    if text.startswith(_BYTE_ORDER_MARK):
        return "begins with a byte order mark: save it as UTF-8 without one."
    if is_quoted(text.strip()):
        return "is in quotation marks, which would be a part of it: set it without them."
    for position, each in enumerate(text, 1):
        if lines and each in "\r\n\t":
            continue
        if each == "\n":
            return "has several lines: set one."
        if each != " " and (kind := _KINDS.get(unicodedata.category(each))):
            return f"has {kind} at position {position}: remove it."
    return ""


def is_quoted(text: str) -> bool:
    """Whether the text begins and ends with quotation marks."""
    return len(text) > 1 and _QUOTES.get(text[0]) == text[-1]
