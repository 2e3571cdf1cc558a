"""The page at `/`, and the pages of problems: HTML for people, JSON for clients."""

import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from pangaea import modules
from pangaea.api import problem_types
from pangaea.api.content_security import HEADER
from pangaea.pages import layout, start

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}
EXPLAINED = [
    *problem_types.SHARED.values(),
    *(each for module in modules.installed() for each in module.problems),
]


def page(path: str, **headers: str) -> str:
    answer = Client().get(path, headers=headers or BROWSER)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers[HEADER] == layout.POLICY
    return answer.content.decode()


def document(path: str, **headers: str) -> dict[str, Any]:
    answer = Client().get(path, headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert "Accept" in answer.headers["Vary"]
    found: dict[str, Any] = answer.json()
    return found


class TestTheStartPage:
    @pytest.mark.django_db
    def test_leads_to_every_part_of_every_module(self) -> None:
        links = set(re.findall(r'href="(/[^"]*)"', page("/")))
        for label in modules.labels():
            assert {f"/api/docs/{label}/", f"/api/schema/{label}/", f"/admin/{label}/"} <= links
        assert {"/api/docs/", "/api/schema/", "/admin/", "/readyz"} <= links
        for link in links - {"/readyz"}:
            answer = Client().get(link, follow=True)
            answer.close()
            assert answer.status_code == 200, link

    def test_has_the_same_links_for_clients(self) -> None:
        found = document("/", Accept="application/json")
        assert [each["label"] for each in found["modules"]] == modules.labels()
        links = {value for each in found["modules"] for value in each.values()} | set(found["links"].values())
        assert set(re.findall(r'href="(/[^"]*)"', page("/"))) <= links

    def test_has_a_walk_and_no_log_in_outside_development(self) -> None:
        text = page("/")
        assert "curl -sS &quot;$URL/" in text
        assert start.PASSWORD not in text
        assert document("/")["log_ins"] == []

    def test_has_the_log_ins_of_the_demo_in_development(self, settings: Settings) -> None:
        settings.PANGAEA_IN_PROCESS = True
        text = page("/")
        for module in modules.installed():
            for name, password in module.demo_log_ins.items():
                assert f"<code>{name}</code>" in text
                assert f"<code>{password}</code>" in text
        assert start.PASSWORD in text

    def test_repeats_nothing_of_the_request(self) -> None:
        answer = Client().get("/?next=%3Cscript%3E", headers=BROWSER, HTTP_HOST="testserver:9999")
        assert "testserver" not in answer.content.decode()
        assert answer.content.decode() == page("/")

    def test_is_only_read(self) -> None:
        assert Client().post("/").status_code == 405


class TestThePageOfAProblem:
    @pytest.mark.parametrize("each", EXPLAINED, ids=lambda each: each.code)
    def test_explains_it(self, each: modules.ProblemType) -> None:
        found = document(f"/problems/{each.code}")
        assert (found["type"], found["code"]) == (f"/problems/{each.code}", each.code)
        assert found["explanation"]
        assert each.code in page(f"/problems/{each.code}")

    def test_is_where_an_answers_type_leads(self) -> None:
        refused = Client().get("/api/v1/nothing", headers=BROWSER).json()
        assert document(refused["type"])["title"] == refused["title"]
        assert document(refused["type"])["status"] == refused["status"]

    @pytest.mark.parametrize("path", ["/problems/", "/problems", "/problems/nothing_of_the_kind", "/problems/a/b"])
    def test_is_not_there_for_what_no_answer_has(self, path: str) -> None:
        answer = Client().get(path, headers=BROWSER)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class TestTheChoice:
    @pytest.mark.parametrize("accept", ["text/html", "application/json, text/html;q=0.9", BROWSER["Accept"]])
    def test_is_html_for_a_client_that_names_it(self, accept: str) -> None:
        assert page("/", Accept=accept).startswith("<!DOCTYPE html>")

    @pytest.mark.parametrize("accept", ["", "*/*", "application/json", "application/problem+json"])
    def test_is_json_for_all_others(self, accept: str) -> None:
        assert document("/", Accept=accept)
        assert document("/problems/not_found", Accept=accept)
