"""The OpenAPI documents are public, or for operators only."""

import os
from pathlib import Path

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import path

from pangaea import modules
from pangaea.api import documents
from pangaea.api.content_security import HEADER, POLICY
from pangaea.configuration import reading
from pangaea.ops.models import Operator

urlpatterns = [*documents.patterns(public=False, admin_path="admin/"), path("admin/", admin.site.urls)]
handler404 = "pangaea.api.fallback.not_found"

LABEL = modules.labels()[0]
PUBLIC = ("/api/docs/", f"/api/docs/{LABEL}/", "/api/schema/", f"/api/schema/{LABEL}/")
DEPLOYED = {
    "PANGAEA_MODULES": LABEL,
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz",
    "ALLOWED_HOSTS": "shop.example",
    "DATABASE_URL": "postgres://u:p@127.0.0.1:1/d",
    "BROKER_URL": "amqp://127.0.0.1:1//",
    "JWKS_URL": "https://users.example/.well-known/jwks.json",
}


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(Operator.objects.create_user("reader", is_staff=True))
    return client


@pytest.mark.urls(__name__)
@pytest.mark.django_db
class TestDocumentsOfOperators:
    @pytest.mark.parametrize("address", [*PUBLIC, "/api/docs", "/api/schema"])
    def test_are_not_at_the_public_paths(self, operator: Client, address: str) -> None:
        for client in (Client(), operator):
            answer = client.get(address)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    @pytest.mark.parametrize("address", PUBLIC)
    def test_ask_for_a_log_in(self, client: Client, address: str) -> None:
        answer = client.get(f"/admin{address}")
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/admin/login/?next=/admin{address}")
        client.force_login(Operator.objects.create_user("stranger"))
        assert client.get(f"/admin{address}").status_code == 302

    def test_are_below_the_admin(self, operator: Client) -> None:
        whole = operator.get("/admin/api/docs/")
        part = operator.get(f"/admin/api/docs/{LABEL}/")

        assert 'data-schema="/admin/api/schema/"' in whole.content.decode()
        assert f'data-schema="/admin/api/schema/{LABEL}/"' in part.content.decode()
        assert operator.get("/admin/api/schema/").json()["paths"]
        assert operator.get(f"/admin/api/schema/{LABEL}/").json()["paths"]
        assert operator.get("/admin/api/docs/nothing/").status_code == 404

    def test_are_no_part_of_what_the_admin_may_do(self, operator: Client) -> None:
        assert operator.get("/admin/api/docs/").headers[HEADER] == POLICY

    def test_are_in_the_sidebar(self, operator: Client) -> None:
        assert 'href="/admin/api/docs/"' in operator.get("/admin/").content.decode()


class TestASetting:
    @pytest.mark.parametrize("profile", ["monolith", "service"])
    def test_makes_them_public_in_a_deployment(self, profile: str) -> None:
        assert not reading.load(profile, DEPLOYED).declared.api_documents_public
        assert reading.load(profile, {**DEPLOYED, "API_DOCUMENTS_PUBLIC": "true"}).declared.api_documents_public

    def test_hides_them_on_a_laptop(self, tmp_path: Path) -> None:
        environ = {"PATH": os.environ["PATH"], "LOCAL_STATE_DIR": str(tmp_path)}
        assert reading.load("local", environ).declared.api_documents_public
        assert not reading.load("local", {**environ, "API_DOCUMENTS_PUBLIC": "false"}).declared.api_documents_public
