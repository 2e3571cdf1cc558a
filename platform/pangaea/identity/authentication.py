"""The bearer scheme (RFC 6750) for DRF."""

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from pangaea.errors import Unauthenticated
from pangaea.identity import tokens
from pangaea.identity.principal import Principal

SCHEME = "Bearer"
REALM = f'{SCHEME} realm="pangaea"'


class BearerAuthentication(BaseAuthentication):
    """Sets `request.user` to a Principal. A request without the header, or with another scheme, is anonymous.

    Raises Unauthenticated for a token that is not valid, on public endpoints too: a client that sends a token
    wants it used. An endpoint that replaces tokens sets `authentication_classes = []`.
    """

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        """The caller whose token is in the Authorization header; None if there is no token."""
        scheme, _, credentials = get_authorization_header(request).strip().partition(b" ")
        if scheme.lower() != SCHEME.lower().encode():
            return None
        try:
            token = credentials.strip().decode("ascii")
        except UnicodeDecodeError:
            token = ""
        if not token or " " in token:
            raise Unauthenticated("token_invalid", "Send one access token: 'Authorization: Bearer <token>'.")
        return tokens.verify(token), None

    def authenticate_header(self, request: Request) -> str:
        """The challenge of a 401."""
        return REALM
