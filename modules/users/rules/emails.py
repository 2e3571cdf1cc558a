"""Email addresses as this context compares them: one spelling per mailbox."""

import re

import idna
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator

from pangaea import text

MAX_LENGTH = 254
"""RFC 5321, 4.5.3.1.3: the longest path is 256 octets, and two of them are its angle brackets."""
MAX_LOCAL = 64
"""RFC 5321, 4.5.3.1.1: the longest part before the @."""

_TOO_LONG = f"An email address has at most {MAX_LENGTH} characters."
_MAX_RAW = 2 * MAX_LENGTH  # IDNA is slow: megabytes must not get there
_QUOTED = re.compile(r'"(.*)"')
_ATOMS = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.IGNORECASE)

_check = EmailValidator(allowlist=[])


def normalised(raw: str) -> str:
    """The address in lower case, its domain in ASCII (IDNA 2008), without surrounding white space.

    Raises ValidationError. Local parts beyond ASCII (RFC 6531) are refused: only the mail server knows which letters
    are equal there, and letters that look alike would allow accounts that people confuse.
    """
    if len(raw) > _MAX_RAW:
        raise _invalid(_TOO_LONG)
    local, at, domain = raw.strip().rpartition("@")
    address = f"{_local(local)}{at}{_ascii(domain)}".lower()
    if len(address) > MAX_LENGTH:
        raise _invalid(_TOO_LONG)
    try:
        _check(address)
    except ValidationError as error:
        raise _invalid("This is not an email address.") from error
    return address


def _local(local: str) -> str:
    """The part before the @, without quotation marks where it needs none (RFC 5321, 4.1.2)."""
    if not (local.isascii() and local.isprintable()):
        raise _invalid("The part before the @ must consist of printable ASCII characters.")
    if len(local) > MAX_LOCAL:
        raise _invalid(f"The part before the @ has at most {MAX_LOCAL} characters.")
    if quoted := _QUOTED.fullmatch(local):
        plain = re.sub(r"\\(.)", r"\1", quoted[1])
        if not plain:
            raise _invalid("This is not an email address: nothing is between the quotation marks.")
        return plain if _ATOMS.fullmatch(plain) else local
    return local


def _ascii(domain: str) -> str:
    """The domain as the DNS has it: UTS 46 without the transitional mappings, so that ß and ss are two domains."""
    text.visible(domain)
    if domain.isascii() and "xn--" not in domain.lower():
        return domain
    try:
        if not all(map(idna.uts46_remap, domain)):
            raise _invalid("Remove the character of the domain that cannot be seen: no email address has it.")
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError as error:
        raise _invalid(
            f"This is not an email address: its domain is not valid ({text.escaped(str(error))})."
        ) from error


def _invalid(why: str) -> ValidationError:
    return ValidationError(why, code="invalid")
