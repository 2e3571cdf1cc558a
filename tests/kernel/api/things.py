"""Views that take an Idempotency-Key, each with an effect that a test can count, hold up and let fail."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from django.http import HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from pangaea import errors, outbox
from pangaea.api.idempotency import idempotent
from pangaea.api.idempotency_records import IdempotencyRecord
from pangaea.identity.permissions import HasScope
from pangaea.outbox.models import OutboxMessage
from tests.kernel.pipeline import SOURCE, Tick

THINGS = "/things"
KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"

handler404 = "pangaea.api.fallback.not_found"
handler500 = "pangaea.api.fallback.server_error"

after_effect: list[Callable[[], Any]] = []
"""Called by the views after their effect, inside the transaction."""


class Reads(APIView):
    permission_classes = (HasScope("orders:read", changing="orders:write"),)

    def _effect(self, number: int) -> UUID:
        message = outbox.publish(Tick(number=number), key=str(uuid4()))
        for call in after_effect:
            call()
        return message


class Things(Reads):
    @idempotent(using=SOURCE)
    def post(self, request: Request) -> Response:
        number = dict(request.data).get("number", 0)
        message = self._effect(number)
        headers = {"Location": f"{THINGS}/{message}", "ETag": '"1"'}
        return Response({"id": str(message), "number": number}, 201, headers=headers)

    @idempotent(using=SOURCE, required=True)
    def put(self, request: Request) -> Response:
        return self.post.__wrapped__(self, request)  # type: ignore[attr-defined,no-any-return]


class Thing(Reads):
    def get(self, request: Request, thing: UUID) -> Response:
        found = OutboxMessage.objects.using(SOURCE).filter(message_id=thing).first()
        if found is None:
            raise errors.NotFound("order_not_found", "There is no such thing.")
        return Response({"id": str(thing), "state": "present", "query": request.query_params})

    @idempotent(using=SOURCE, resource="thing")
    def delete(self, request: Request, thing: UUID) -> Response:
        self._effect(-1)
        return Response(status=204)


class Plain(Reads):
    @idempotent(using=SOURCE)
    def post(self, request: Request) -> HttpResponse:
        self._effect(1)
        status = dict(request.data).get("status", 200)
        return HttpResponse(b"\x00\xff", status=status, content_type="image/x", headers={"Location": "/nowhere"})

    @idempotent(using=SOURCE)
    def put(self, request: Request) -> Response:
        self._effect(1)
        return Response({})


urlpatterns = [
    path("things", Things.as_view()),
    path("things/<id:thing>", Thing.as_view(), name="thing"),
    path("plain", Plain.as_view()),
]


@contextmanager
def during(call: Callable[[], Any]) -> Iterator[None]:
    """Call this after each effect, before its commit."""
    after_effect.append(call)
    try:
        yield
    finally:
        after_effect.remove(call)


def send(client: APIClient, number: int = 1, key: str | None = KEY, *, address: str = THINGS, **more: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(address, {"number": number}, headers=headers, **more)


def effects() -> int:
    return OutboxMessage.objects.using(SOURCE).count()


def records() -> Any:
    return IdempotencyRecord.objects.using(SOURCE)


def problem(response: Any) -> tuple[int, str]:
    assert response["Content-Type"] == "application/problem+json"
    return response.status_code, response.json()["code"]
