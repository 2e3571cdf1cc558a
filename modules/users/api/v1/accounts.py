"""/api/v1/accounts: register, and one's own account."""

from typing import Any, cast
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.fields import get_error_detail
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from modules.users import commands, passwords, queries
from modules.users.api.bodies import Body, EmailField, FullNameField, PasswordField
from pangaea import errors
from pangaea.identity.permissions import HasScope
from pangaea.identity.principal import Principal


class Registration(Body):
    email = EmailField()
    password = PasswordField()
    full_name = FullNameField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        _accept("password", attrs["password"], email=attrs["email"], full_name=attrs["full_name"])
        return attrs


class ProfileChange(Body):
    """What is left out stays as it is."""

    email = EmailField(required=False)
    full_name = FullNameField(required=False)


class PasswordChange(Body):
    current_password = PasswordField()
    new_password = PasswordField()


class Account(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    full_name = serializers.CharField()
    registered_at = serializers.DateTimeField()


class AccountsView(APIView):
    authentication_classes = ()  # a stale token in the header must not keep anybody from registering
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="register_account", request=Registration, responses={201: Account})
    def post(self, request: Request) -> Response:
        """Open an account. 409 `email_taken` where the address has one."""
        body = Registration.read(request)
        password_hash = passwords.hashed(body["password"])
        with transaction.atomic(using="users"):
            account = commands.register_account(
                email=body["email"], password_hash=password_hash, full_name=body["full_name"]
            )
        return Response(Account(account).data, status=201, headers={"Location": f"{request.path}/me"})


class MeView(APIView):
    def get_permissions(self) -> list[Any]:
        return [HasScope("profile:write" if self.request.method == "PATCH" else "profile:read")()]

    @extend_schema(operation_id="read_my_account", responses=Account)
    def get(self, request: Request) -> Response:
        """One's own profile. 403 `account_deactivated` once it is closed, whatever the token's lifetime."""
        return Response(Account(queries.profile_of(account_id=_subject(request))).data)

    @extend_schema(operation_id="change_my_account", request=ProfileChange, responses=Account)
    def patch(self, request: Request) -> Response:
        """Change the fields that are given. 409 `email_taken` where the address has another account."""
        body = ProfileChange.read(request)
        with transaction.atomic(using="users"):
            account = commands.change_profile(account_id=_subject(request), **body)
        return Response(Account(account).data)


class PasswordView(APIView):
    permission_classes = (HasScope("profile:write"),)

    @extend_schema(operation_id="change_my_password", request=PasswordChange, responses={204: None})
    def post(self, request: Request) -> Response:
        """Replace the password, which ends every log-in. 403 `wrong_password` where the current one is another."""
        body = PasswordChange.read(request)
        profile = queries.profile_of(account_id=_subject(request))
        _accept("new_password", body["new_password"], email=profile.email, full_name=profile.full_name)
        try:
            proof = queries.prove_by_id(account_id=profile.id, password=body["current_password"])
        except errors.Unauthenticated as error:
            # The token is good: a 401 would send the client to log in again.
            raise errors.Forbidden("wrong_password", "The current password is wrong.") from error
        password_hash = passwords.hashed(body["new_password"])
        with transaction.atomic(using="users"):
            commands.change_password(proof=proof, password_hash=password_hash)
        return Response(status=204)


class DeactivationView(APIView):
    permission_classes = (HasScope("profile:write"),)

    @extend_schema(operation_id="deactivate_my_account", request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """Close one's account for good. Doing it again changes nothing. Access tokens in use expire by themselves."""
        with transaction.atomic(using="users"):
            commands.deactivate_account(account_id=_subject(request))
        return Response(status=204)


def _subject(request: Request) -> UUID:
    return cast("Principal", request.user).subject


def _accept(field: str, password: str, *, email: str, full_name: str) -> None:
    try:
        passwords.check(password, email=email, full_name=full_name)
    except ValidationError as error:
        raise serializers.ValidationError({field: get_error_detail(error)}) from error


urlpatterns = [
    path("", AccountsView.as_view()),
    path("/me", MeView.as_view()),
    path("/me/password", PasswordView.as_view()),
    path("/me/deactivate", DeactivationView.as_view()),
]
