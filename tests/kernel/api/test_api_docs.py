"""The OpenAPI documents, and the pagination that all lists share."""

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.test import Client
from django.utils.http import parse_header_parameters
from openapi_spec_validator import validate

from pangaea import modules
from pangaea.api.openapi import document as openapi

METHODS = {"get", "post", "put", "patch", "delete"}


def document(module: str | None = None) -> dict[str, Any]:
    response = Client().get(f"/api/schema/{module}/" if module else "/api/schema/")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/vnd.oai.openapi+json"
    return dict(response.json())


def operations(of: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method} {path}": operation
        for path, item in of["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


class TestTheDocument:
    def test_of_the_whole_is_valid_openapi(self) -> None:
        whole = document()
        assert whole["openapi"] == "3.1.1"
        validate(whole)

    def test_of_the_whole_is_built_without_a_doubt(self) -> None:
        assert openapi.build()[1] == []

    @pytest.mark.parametrize("module", modules.discover())
    def test_of_a_module_has_exactly_its_routes(self, module: str) -> None:
        part = document(module)
        validate(part)
        prefixes = tuple(route.path for route in modules.named(module).routes)
        assert part["paths"]
        assert all(path.startswith(prefixes) for path in part["paths"])
        assert openapi.build(modules.named(module))[1] == []

    def test_is_the_same_for_all_who_ask_first_at_once(self) -> None:
        asked = [None, *modules.labels()] * 2
        ready = Barrier(len(asked))

        def ask(module: str | None) -> dict[str, Any]:
            ready.wait()
            return document(module)

        openapi.served.cache_clear()
        with ThreadPoolExecutor(len(asked)) as pool:
            assert list(pool.map(ask, asked)) == [document(module) for module in asked]

    @pytest.mark.parametrize("module", modules.discover())
    def test_of_a_module_says_the_same_as_the_whole(self, module: str) -> None:
        whole = operations(document())
        for name, operation in operations(document(module)).items():
            assert operation["operationId"] == whole[name]["operationId"]
            assert operation["tags"] == [module]

    def test_of_a_module_has_the_components_of_the_whole(self) -> None:
        whole = document()["components"]["schemas"]
        for label in modules.labels():
            for name, component in document(label)["components"]["schemas"].items():
                assert component == whole[name]

    def test_of_the_whole_has_every_module(self) -> None:
        parts = [operations(document(label)) for label in modules.labels()]
        assert set(operations(document())) == {name for part in parts for name in part}

    def test_has_an_id_of_its_own_for_every_operation(self) -> None:
        ids = [operation["operationId"] for operation in operations(document()).values()]
        assert len(ids) == len(set(ids))

    def test_describes_the_problems_of_every_operation(self) -> None:
        whole = document()
        assert "correlation_id" in whole["components"]["schemas"]["Problem"]["properties"]
        for name, operation in operations(whole).items():
            responses = operation["responses"]
            assert "default" in responses, name
            if "requestBody" in operation:
                assert {"400", "415"} <= set(responses), name
            if any("bearer" in way for way in operation["security"]):
                assert "401" in responses, name
            if "{" in name:
                assert "404" in responses, name

    def test_says_how_to_authenticate(self) -> None:
        bearer = document()["components"]["securitySchemes"]["bearer"]
        assert (bearer["type"], bearer["scheme"], bearer["bearerFormat"]) == ("http", "bearer", "JWT")

    @pytest.mark.parametrize("module", modules.discover())
    def test_of_a_module_describes_its_scopes_and_no_others(self, module: str) -> None:
        declared = modules.named(module).scopes
        bearer = document(module)["components"]["securitySchemes"]["bearer"]
        assert bearer["x-scopes"] == {scope.name: scope.description for scope in declared}
        for scope in declared:
            assert f"- `{scope.name}` (customer): {scope.description}" in bearer["description"]

    def test_of_the_whole_describes_every_scope(self) -> None:
        assert set(document()["components"]["securitySchemes"]["bearer"]["x-scopes"]) == set(modules.scopes())

    @pytest.mark.parametrize("module", modules.discover())
    def test_of_a_module_names_operations_after_module_verb_and_noun(self, module: str) -> None:
        for name, operation in operations(document(module)).items():
            assert re.fullmatch(rf"{module}(_[a-z]+){{2,}}(_v[0-9]+)?", operation["operationId"]), name

    @pytest.mark.parametrize("module", modules.discover())
    def test_of_a_module_names_components_after_the_module(self, module: str) -> None:
        prefix = module.title().replace("_", "")
        shared = {"Money", "Problem"}
        named = set(document(module)["components"]["schemas"]) - shared
        assert all(re.match(rf"(Paginated|Patched)?{prefix}[A-Z]", name) for name in named), named

    def test_of_an_unknown_module_is_not_found(self) -> None:
        response = Client().get("/api/schema/nothing/")
        assert (response.status_code, response.json()["code"]) == (404, "not_found")

    def test_cannot_be_changed(self) -> None:
        response = Client().post("/api/schema/")
        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")


class TestThePages:
    def test_for_people_load_nothing_from_elsewhere(self) -> None:
        response = Client().get("/api/docs/")
        assert parse_header_parameters(response.headers["Content-Type"])[0] == "text/html"
        page = response.content.decode()
        assert "/api/schema/" in page
        assert "://" not in page.replace("http://www.w3.org", "")

    @pytest.mark.parametrize("file", ["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"])
    def test_for_people_come_with_their_files(self, file: str) -> None:
        page = Client().get("/api/docs/").content.decode()
        url = f"/static/drf_spectacular_sidecar/swagger-ui-dist/{file}"
        assert url in page
        response = Client().get(url)
        assert response.status_code == 200
        assert b"".join(response)
        response.close()

    def test_of_a_module_read_its_own_document(self) -> None:
        page = Client().get("/api/docs/orders/")
        assert page.status_code == 200
        assert "/api/schema/orders/" in page.content.decode()
        assert Client().get("/api/docs/nothing/").status_code == 404

    @pytest.mark.parametrize("address", ["/", "/api/docs", "/api/docs/", "/api/schema/", "/admin/", "/nowhere"])
    def test_and_other_answers_repeat_no_host(self, address: str) -> None:
        answer = Client().get(address, HTTP_HOST="testserver:9999")

        assert "testserver" not in f"{answer.headers} {answer.content.decode()}"
