"""/api/v1/tokens: log in, and prolong a log-in.

The answers have the members of an OAuth 2.0 token response (RFC 6749, 5.1).
"""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from modules.users import commands, queries
from modules.users.api.bodies import Body, EmailField, PasswordField, Text
from pangaea import errors
from pangaea.identity import password_attempts, tokens

SCOPES = ("profile:read", "profile:write", "orders:read", "orders:write")
"""What every customer may do. A token is only ever for the customer's own things."""


class Credentials(Body):
    email = EmailField()
    password = PasswordField()


class Refresh(Body):
    refresh_token = Text(max_length=256, write_only=True)


class Tokens(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    token_type = serializers.ChoiceField(choices=["Bearer"])
    expires_in = serializers.IntegerField(help_text="Seconds until the access token expires.")
    refresh_token = serializers.CharField(help_text="Works once. Send it to /refresh for the next pair.")


class TokensView(APIView):
    authentication_classes = ()  # who logs in sends the expired token of last time, more often than not
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="log_in", request=Credentials, responses=Tokens)
    def post(self, request: Request) -> Response:
        """Log in. 401 `invalid_credentials` for a wrong password, an unknown address and a closed account alike."""
        body = Credentials.read(request)
        with password_attempts.counted("customer", account=body["email"], request=request) as attempt:
            proof = queries.prove_by_email(**body)
            attempt.accept()
        with transaction.atomic(using="users"):
            log_in = commands.log_in(proof=proof)
        return _answer(log_in)


class RefreshView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="refresh_tokens", request=Refresh, responses=Tokens)
    def post(self, request: Request) -> Response:
        """Spend the refresh token for the next pair. 401 `invalid_refresh_token`; a spent one ends the whole log-in."""
        body = Refresh.read(request)
        with transaction.atomic(using="users"):
            log_in = commands.refresh(refresh_token=body["refresh_token"])
        # Outside the block, so that the revocation stays.
        if log_in is None:
            raise errors.Unauthenticated("invalid_refresh_token", "The refresh token is not valid. Log in again.")
        return _answer(log_in)


def _answer(log_in: commands.LogIn) -> Response:
    pair = {
        "access_token": tokens.issue(subject=log_in.account_id, scopes=SCOPES),
        "token_type": "Bearer",
        "expires_in": int(settings.PANGAEA.access_token_lifetime.total_seconds()),
        "refresh_token": log_in.refresh_token,
    }
    return Response(Tokens(pair).data, headers={"Cache-Control": "no-store"})


urlpatterns = [
    path("", TokensView.as_view()),
    path("/refresh", RefreshView.as_view()),
]
