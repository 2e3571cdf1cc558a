"""Email addresses as this context compares them: one spelling per mailbox."""

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.encoding import punycode

MAX_LENGTH = 254
"""RFC 5321, 4.5.3.1.3: the longest path is 256 octets, and two of them are its angle brackets."""

_TOO_LONG = f"An email address has at most {MAX_LENGTH} characters."
_MAX_RAW = 2 * MAX_LENGTH  # IDNA is slow: megabytes must not get there

_check = EmailValidator(allowlist=[])


def normalised(raw: str) -> str:
    """The address in lower case, its domain in ASCII (IDNA), without surrounding white space.

    Raises ValueError. Local parts beyond ASCII (RFC 6531) are refused: only the mail server knows which letters are
    equal there, and letters that look alike would allow accounts that people confuse.
    """
    if len(raw) > _MAX_RAW:
        raise ValueError(_TOO_LONG)
    local, at, domain = raw.strip().rpartition("@")
    if not (local.isascii() and local.isprintable()):
        raise ValueError("The part before the @ must consist of printable ASCII characters.")
    try:
        address = f"{local}{at}{domain if domain.isascii() else punycode(domain)}".lower()
        _check(address)
    except (UnicodeError, ValidationError) as error:
        raise ValueError("This is not an email address.") from error
    if len(address) > MAX_LENGTH:
        raise ValueError(_TOO_LONG)
    return address
