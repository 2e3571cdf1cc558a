"""/.well-known/jwks.json: the public keys that verify access tokens (RFC 7517)."""

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pangaea.identity import token_keys

CACHE_SECONDS = 300
"""A key has to be published this long before it signs, or verifiers refuse its first tokens."""


KEY = {
    "type": "object",
    "required": ["kty", "crv", "x", "y", "kid", "use", "alg"],
    "properties": {
        "kty": {"type": "string", "const": "EC"},
        "crv": {"type": "string", "const": "P-256"},
        "x": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$", "examples": ["A" * 43]},
        "y": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$", "examples": ["A" * 43]},
        "kid": {"type": "string", "minLength": 1},
        "use": {"type": "string", "const": "sig"},
        "alg": {"type": "string", "const": "ES256"},
    },
}
KEYS = {
    "type": "object",
    "description": "A JWK Set (RFC 7517, 5).",
    "required": ["keys"],
    "properties": {"keys": {"type": "array", "items": KEY}},
}


class KeysView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="users_read_keys", responses={200: KEYS})
    def get(self, request: Request) -> Response:
        """The public half of every key whose signatures are accepted."""
        return Response(token_keys.public_jwks(), headers={"Cache-Control": f"public, max-age={CACHE_SECONDS}"})


urlpatterns = [path("", KeysView.as_view())]
