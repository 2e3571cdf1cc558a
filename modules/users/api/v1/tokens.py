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
from modules.users.api.v1.fields import EmailField, PasswordField
from pangaea import errors
from pangaea.api.bodies import StrictCharField, StrictSerializer
from pangaea.api.fields import documented
from pangaea.identity import password_attempts, tokens
from pangaea.modules import Role

REFRESH_TOKEN = "AZ4iMq1tfMGAAAAAAAAAAKk3Zx0vS2b1Uq9YwFJp7mE"  # noqa: S105 - an example


class CredentialsSerializer(StrictSerializer):
    email = EmailField()
    password = PasswordField()


class RefreshSerializer(StrictSerializer):
    refresh_token = documented(StrictCharField(max_length=256, write_only=True), examples=[REFRESH_TOKEN])


class TokensSerializer(serializers.Serializer[Any]):
    access_token = documented(
        serializers.CharField(min_length=1),
        pattern=r"^[\w-]+\.[\w-]+\.[\w-]+$",
        examples=["eyJhbGciOi.eyJzdWIiOi.MEUCIQ"],
    )
    token_type = serializers.ChoiceField(choices=["Bearer"])
    expires_in = documented(
        serializers.IntegerField(min_value=1, max_value=2**31 - 1, help_text="Seconds until the access token expires."),
        examples=[600],
    )
    refresh_token = documented(
        serializers.CharField(
            min_length=1, max_length=256, help_text="Works once. Send it to /refresh for the next pair."
        ),
        examples=[REFRESH_TOKEN],
    )


class TokensView(APIView):
    authentication_classes = ()  # clients often log in with an expired token in the header
    permission_classes = (AllowAny,)
    problems = {"post": ("invalid_credentials",)}

    @extend_schema(operation_id="users_issue_tokens", request=CredentialsSerializer, responses=TokensSerializer)
    def post(self, request: Request) -> Response:
        """Log in. 401 `invalid_credentials` for a wrong password, an unknown address and a closed account alike."""
        body = CredentialsSerializer.read(request)
        with password_attempts.counted("customer", account=body["email"], request=request) as attempt:
            proof = queries.prove_by_email(**body)
            attempt.accept()
        with transaction.atomic(using="users"):
            log_in = commands.log_in(proof=proof)
        return _answer(log_in)


class RefreshView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    problems = {"post": ("invalid_refresh_token",)}

    @extend_schema(operation_id="users_refresh_tokens", request=RefreshSerializer, responses=TokensSerializer)
    def post(self, request: Request) -> Response:
        """Spend the refresh token for the next pair. 401 `invalid_refresh_token`; a spent one ends the whole log-in."""
        body = RefreshSerializer.read(request)
        with transaction.atomic(using="users"):
            log_in = commands.refresh(refresh_token=body["refresh_token"])
        # Outside the block, so that the revocation stays.
        if log_in is None:
            raise errors.Unauthenticated("invalid_refresh_token", "The refresh token is not valid. Log in again.")
        return _answer(log_in)


def _answer(log_in: commands.LogIn) -> Response:
    pair = {
        "access_token": tokens.issue(subject=log_in.account_id, roles=(Role.CUSTOMER,), plan=log_in.plan),
        "token_type": "Bearer",
        "expires_in": int(settings.PANGAEA.access_token_lifetime.total_seconds()),
        "refresh_token": log_in.refresh_token,
    }
    return Response(TokensSerializer(pair).data, headers={"Cache-Control": "no-store"})


urlpatterns = [
    path("", TokensView.as_view()),
    path("/refresh", RefreshView.as_view()),
]
