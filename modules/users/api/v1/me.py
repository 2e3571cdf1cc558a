"""/api/v1/accounts/me: one's own account."""

from typing import Any, cast
from uuid import UUID

from django.db import transaction
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from modules.users import commands, passwords, queries
from modules.users.api.bodies import Body, EmailField, FullNameField, PasswordField
from modules.users.api.v1.accounts import Account, accept
from pangaea import errors
from pangaea.identity import password_attempts
from pangaea.identity.permissions import HasScope
from pangaea.identity.principal import Principal


class ProfileChange(Body):
    """What is left out stays as it is."""

    email = EmailField(required=False)
    full_name = FullNameField(required=False)
    current_password = PasswordField(required=False, help_text="Required with `email`.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "email" in attrs and "current_password" not in attrs:
            required = serializers.ErrorDetail("A change of the email address needs the password.", code="required")
            raise serializers.ValidationError({"current_password": [required]})
        return attrs


class Deactivation(Body):
    current_password = PasswordField()


class PasswordChange(Body):
    current_password = PasswordField()
    new_password = PasswordField()


class MeView(APIView):
    def get_permissions(self) -> list[Any]:
        return [HasScope("profile:write" if self.request.method == "PATCH" else "profile:read")()]

    @extend_schema(operation_id="read_my_account", responses=Account)
    def get(self, request: Request) -> Response:
        """One's own profile. 403 `account_deactivated` once it is closed, whatever the token's lifetime."""
        return Response(Account(queries.profile_of(account_id=_subject(request))).data)

    @extend_schema(operation_id="change_my_account", request=ProfileChange, responses=Account)
    def patch(self, request: Request) -> Response:
        """Change the fields that are given. `email` needs `current_password`: 403 `wrong_password` where it is another.

        409 `email_taken` where the address has another account.
        """
        body = ProfileChange.read(request)
        password = body.pop("current_password", None)
        proof = _prove(request, password) if "email" in body else None
        with transaction.atomic(using="users"):
            account = commands.change_profile(account_id=_subject(request), proof=proof, **body)
        return Response(Account(account).data)


class PasswordView(APIView):
    permission_classes = (HasScope("profile:write"),)

    @extend_schema(operation_id="change_my_password", request=PasswordChange, responses={204: None})
    def post(self, request: Request) -> Response:
        """Replace the password, which ends every log-in. 403 `wrong_password` where the current one is another."""
        body = PasswordChange.read(request)
        profile = queries.profile_of(account_id=_subject(request))
        accept("new_password", body["new_password"], email=profile.email, full_name=profile.full_name)
        proof = _prove(request, body["current_password"])
        password_hash = passwords.hashed(body["new_password"])
        with transaction.atomic(using="users"):
            commands.change_password(proof=proof, password_hash=password_hash)
        return Response(status=204)


class DeactivationView(APIView):
    permission_classes = (HasScope("profile:write"),)

    @extend_schema(operation_id="deactivate_my_account", request=Deactivation, responses={204: None})
    def post(self, request: Request) -> Response:
        """Close one's account for good; again, it changes nothing. 403 `wrong_password` where the password is another.

        Access tokens in use stay good until they expire.
        """
        body = Deactivation.read(request)
        if queries.is_active(account_id=_subject(request)):
            proof = _prove(request, body["current_password"])
            with transaction.atomic(using="users"):
                commands.deactivate_account(account_id=_subject(request), proof=proof)
        return Response(status=204)


def _prove(request: Request, password: str) -> queries.Proof:
    """Check the customer's password: 403 `wrong_password`. Failures are those of the log-in, counted with its own."""
    profile = queries.profile_of(account_id=_subject(request))
    try:
        with password_attempts.counted("customer", account=profile.email, request=request) as attempt:
            proof = queries.prove_by_id(account_id=profile.id, password=password)
            attempt.accept()
    except errors.Unauthenticated as error:
        if error.code != "invalid_credentials":
            raise
        # The token is good: a 401 would send the client to log in again.
        raise errors.Forbidden("wrong_password", "The current password is wrong.") from error
    return proof


def _subject(request: Request) -> UUID:
    return cast("Principal", request.user).subject


urlpatterns = [
    path("", MeView.as_view()),
    path("/password", PasswordView.as_view()),
    path("/deactivate", DeactivationView.as_view()),
]
