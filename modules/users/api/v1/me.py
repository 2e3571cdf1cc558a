"""/api/v1/accounts/me: the caller's account."""

from typing import Any

from django.db import transaction
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from modules.users import commands, queries
from modules.users.api.v1.accounts import AccountSerializer
from modules.users.api.v1.fields import EmailField, FullNameField, NewPasswordField, PasswordField, accept_password
from modules.users.rules import passwords
from pangaea import errors
from pangaea.api.bodies import StrictSerializer
from pangaea.api.conditional_requests import Precondition, conditional_change, conditional_read, tagged
from pangaea.api.idempotency import not_idempotent
from pangaea.identity import password_attempts
from pangaea.identity.permissions import HasScope
from pangaea.identity.principal import Principal


class ProfileChangeSerializer(StrictSerializer):
    """Fields that are left out stay unchanged."""

    documented = {"dependentRequired": {"email": ["current_password"]}}

    email = EmailField(required=False)
    full_name = FullNameField(required=False)
    current_password = PasswordField(required=False, help_text="Required with `email`.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "email" in attrs and "current_password" not in attrs:
            required = serializers.ErrorDetail("A change of the email address needs the password.", code="required")
            raise serializers.ValidationError({"current_password": [required]})
        return attrs


class DeactivationSerializer(StrictSerializer):
    current_password = PasswordField()


class PasswordChangeSerializer(StrictSerializer):
    current_password = PasswordField()
    new_password = NewPasswordField()


ACCOUNT = ("account_deactivated", "unknown_account")
PROOF = ("password_changed", "wrong_password")


class MeView(APIView):
    permission_classes = (HasScope("users:read", changing="users:write"),)
    problems = {"get": ACCOUNT, "patch": (*ACCOUNT, *PROOF, "email_taken")}

    @extend_schema(operation_id="users_read_account", responses=AccountSerializer)
    @conditional_read
    def get(self, request: Request) -> Response:
        """The caller's profile. 403 `account_deactivated` once it is closed, whatever the token's lifetime."""
        profile = queries.profile_of(account_id=Principal.of(request).subject)
        return tagged(AccountSerializer(profile).data, version=profile.version)

    @extend_schema(operation_id="users_change_account", request=ProfileChangeSerializer, responses=AccountSerializer)
    @not_idempotent(because="The request may hold the password, and the same change twice is one.")
    @conditional_change()
    def patch(self, request: Request, *, precondition: Precondition) -> Response:
        """Change the fields that are given. `email` needs `current_password`: 403 `wrong_password` where it is another.

        409 `email_taken` where the address has another account.
        """
        body = ProfileChangeSerializer.read(request)
        password = body.pop("current_password", None)
        proof = _prove(request, password) if "email" in body else None
        with transaction.atomic(using="users"):
            account = commands.change_profile(
                account_id=Principal.of(request).subject, proof=proof, precondition=precondition, **body
            )
        return tagged(AccountSerializer(account).data, version=account.version)


class PasswordView(APIView):
    permission_classes = (HasScope("users:write"),)
    problems = {"post": (*ACCOUNT, *PROOF)}

    @extend_schema(operation_id="users_change_password", request=PasswordChangeSerializer, responses={204: None})
    @not_idempotent(because="The request holds passwords.")
    def post(self, request: Request) -> Response:
        """Replace the password, which ends every log-in. 403 `wrong_password` where the current one is another."""
        body = PasswordChangeSerializer.read(request)
        profile = queries.profile_of(account_id=Principal.of(request).subject)
        accept_password("new_password", body["new_password"], email=profile.email, full_name=profile.full_name)
        proof = _prove(request, body["current_password"])
        password_hash = passwords.hashed(body["new_password"])
        with transaction.atomic(using="users"):
            commands.change_password(proof=proof, password_hash=password_hash)
        return Response(status=204)


class DeactivationView(APIView):
    permission_classes = (HasScope("users:write"),)
    problems = {"post": (*ACCOUNT, *PROOF)}

    @extend_schema(operation_id="users_deactivate_account", request=DeactivationSerializer, responses={204: None})
    @not_idempotent(because="The request holds the password, and a second one changes nothing.")
    def post(self, request: Request) -> Response:
        """Close the caller's account for good; a second time changes nothing.

        403 `wrong_password` where the password is another.

        Access tokens in use stay valid until they expire.
        """
        body = DeactivationSerializer.read(request)
        if queries.is_active(account_id=Principal.of(request).subject):
            proof = _prove(request, body["current_password"])
            with transaction.atomic(using="users"):
                commands.deactivate_account(account_id=Principal.of(request).subject, proof=proof)
        return Response(status=204)


def _prove(request: Request, password: str) -> queries.Proof:
    """Check the caller's password. Raises Forbidden (`wrong_password`).

    Failures are counted together with those of the log-in.
    """
    profile = queries.profile_of(account_id=Principal.of(request).subject)
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


urlpatterns = [
    path("", MeView.as_view()),
    path("/password", PasswordView.as_view()),
    path("/deactivate", DeactivationView.as_view()),
]
