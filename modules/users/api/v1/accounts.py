"""/api/v1/accounts: register."""

from typing import Any

from django.db import transaction
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from modules.users import commands
from modules.users.api.v1.fields import EmailField, FullNameField, NewPasswordField, accept_password
from modules.users.models import FULL_NAME_LENGTH
from modules.users.rules import passwords
from modules.users.rules.emails import MAX_LENGTH
from pangaea.api.bodies import StrictSerializer
from pangaea.api.fields import documented


class RegistrationSerializer(StrictSerializer):
    email = EmailField()
    password = NewPasswordField()
    full_name = FullNameField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        accept_password("password", attrs["password"], email=attrs["email"], full_name=attrs["full_name"])
        return attrs


class AccountSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = documented(serializers.EmailField(max_length=MAX_LENGTH), examples=["ada@example.com"])
    full_name = documented(serializers.CharField(min_length=1, max_length=FULL_NAME_LENGTH), examples=["Ada Lovelace"])
    plan = documented(
        serializers.CharField(help_text="free or pro; there may be more. Quotas depend on it."), examples=["free"]
    )
    registered_at = serializers.DateTimeField()


class AccountsView(APIView):
    authentication_classes = ()  # an expired token in the header must not prevent a registration
    permission_classes = (AllowAny,)
    problems = {"post": ("email_taken",)}

    @extend_schema(
        operation_id="users_register_account", request=RegistrationSerializer, responses={201: AccountSerializer}
    )
    def post(self, request: Request) -> Response:
        """Open an account. 409 `email_taken` where the address has one."""
        body = RegistrationSerializer.read(request)
        password_hash = passwords.hashed(body["password"])
        with transaction.atomic(using="users"):
            account = commands.register_account(
                email=body["email"], password_hash=password_hash, full_name=body["full_name"]
            )
        return Response(AccountSerializer(account).data, status=201, headers={"Location": f"{request.path}/me"})


urlpatterns = [path("", AccountsView.as_view())]
