"""/api/v1/accounts: register."""

from typing import Any

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

from modules.users import commands, passwords
from modules.users.api.bodies import Body, EmailField, FullNameField, PasswordField


class Registration(Body):
    email = EmailField()
    password = PasswordField()
    full_name = FullNameField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        accept("password", attrs["password"], email=attrs["email"], full_name=attrs["full_name"])
        return attrs


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


def accept(field: str, password: str, *, email: str, full_name: str) -> None:
    """Raise ValidationError, naming the field of the body, for a password that is too easy to guess."""
    try:
        passwords.check(password, email=email, full_name=full_name)
    except ValidationError as error:
        raise serializers.ValidationError({field: get_error_detail(error)}) from error


urlpatterns = [path("", AccountsView.as_view())]
