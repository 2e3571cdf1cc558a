"""Deprecated routes announce their end, at every layer that can answer, and lead to a page about it."""

from datetime import date
from pathlib import Path

import pytest
from django.http import HttpRequest, HttpResponse, HttpResponseServerError
from django.test import Client, RequestFactory

from pangaea import modules
from pangaea.api import versioning
from pangaea.api.openapi.document import build
from pangaea.api.versioning import Resource, VersionMiddleware
from pangaea.checks import check_modules
from pangaea.modules import Deprecation, Route
from tests.kernel.sample_modules import Shelf

ENDS = Deprecation(
    since=date(2026, 1, 1), sunset=date(2026, 6, 1), successor="/api/v2/bills", changes=("All of it changed.",)
)
OLD = Route("/api/v1/bills", urlconf="shop.urls", deprecation=ENDS)
FIELDS = [
    ("Deprecation", "@1767225600"),
    ("Sunset", "Mon, 01 Jun 2026 00:00:00 GMT"),
    ("Link", '</api/v2/bills>; rel="successor-version"'),
    ("Link", '</deprecations/api/v1/bills>; rel="deprecation"'),
]
DEPRECATED = [route for module in modules.installed() for route in module.routes if route.deprecation]


class TestTheHeaderFields:
    def test_name_both_days_the_successor_and_the_page(self) -> None:
        assert versioning.deprecation_headers(OLD) == FIELDS

    def test_are_none_of_a_route_that_stays(self) -> None:
        assert versioning.deprecation_headers(Route("/api/v2/bills", urlconf="shop.urls")) == []


class TestTheMiddleware:
    def test_keeps_the_links_of_a_page(self) -> None:
        def paged(_request: HttpRequest) -> HttpResponse:
            return HttpResponse(headers={"Link": '</api/v1/orders?cursor=x>; rel="next"'})

        links = VersionMiddleware(paged)(RequestFactory().get("/api/v1/orders"))["Link"].split(", ")

        assert [each.partition("; ")[2] for each in links] == [
            'rel="next"',
            'rel="successor-version"',
            'rel="deprecation"',
        ]

    def test_marks_an_internal_error(self) -> None:
        answer = VersionMiddleware(lambda _: HttpResponseServerError())(RequestFactory().get("/api/v1/orders/x"))
        assert (answer.status_code, answer["Deprecation"]) == (500, "@1796083200")


class TestThePage:
    @pytest.mark.parametrize("route", DEPRECATED, ids=lambda route: route.path)
    def test_is_where_the_link_leads(self, client: Client, route: Route) -> None:
        page = client.get(versioning.page_of(route))

        assert (page.status_code, page["Content-Type"]) == (200, "application/json")
        assert route.deprecation is not None
        document = page.json()
        assert document["sunset"] == route.deprecation.sunset.isoformat()
        assert document["changes"] == list(route.deprecation.changes)

    def test_is_html_for_a_browser(self, client: Client) -> None:
        page = client.get("/deprecations/api/v1/orders", headers={"Accept": "text/html"}).content.decode()
        assert "<code>/api/v2/orders</code>" in page
        assert "<code>product</code>" in page

    @pytest.mark.parametrize("path", ["/api/v2/orders", "/api/v1", "/nothing", ""])
    def test_is_about_nothing_else(self, client: Client, path: str) -> None:
        assert client.get(f"/deprecations{path}").status_code == 404

    def test_is_only_read(self, client: Client) -> None:
        assert client.post("/deprecations/api/v1/orders").status_code == 405


class TestTheDocument:
    def test_marks_what_ends_and_nothing_else(self) -> None:
        document, _ = build(modules.named("orders"))

        for path, item in document["paths"].items():
            for operation in item.values():
                assert operation.get("deprecated", False) == path.startswith("/api/v1/orders"), path
        answers = document["paths"]["/api/v1/orders"]["get"]["responses"]
        assert {"Deprecation", "Sunset", "Link"} <= answers["200"]["headers"].keys()
        assert "2027-07-01" in document["paths"]["/api/v1/orders"]["post"]["description"]


class TestResources:
    def test_are_what_has_the_same_path_beside_the_version(self) -> None:
        paths = ["/api/v10/bills", "/api/v2/bills", "/api/v2/bills/lines", "/bff/v1", "/.well-known/jwks.json"]

        assert versioning.resources(paths) == [
            Resource("/api", "/bills/lines", ("v2",)),
            Resource("/api", "/bills", ("v2", "v10")),
            Resource("/bff", "", ("v1",)),
        ]

    @pytest.mark.parametrize("path", ["/bff/v9", "/bff/v2/home", "/bff/v9/nothing", "/api/v3/accounts/me"])
    def test_of_the_installed_modules_are_known_in_other_versions(self, path: str) -> None:
        problem = versioning.unknown(path)
        assert problem is not None
        assert problem.members == {"versions": ["v1"]}


class TestADeprecation:
    DECLARED = "successor='/api/v2/bills', changes=('All of it.',)"

    def errors(self, folder: Path, deprecation: str) -> list[str]:
        shelf = Shelf(folder)
        routes = f"""
            from datetime import date
            from pangaea.modules import Deprecation, Route
            routes = (
                Route("/api/v1/bills", urlconf="{{label}}.urls", deprecation=Deprecation({deprecation})),
                Route("/api/v2/bills", urlconf="{{label}}.urls"),
            )
        """
        label = f"shop_{folder.name[-1]}"
        shelf.add(label, routes.format(label=label), urls="urlpatterns = []")
        with shelf.installed():
            return [error.msg for error in check_modules(None) if error.id == "pangaea.E029"]

    @pytest.mark.parametrize(
        ("deprecation", "mistake"),
        [
            (f"since=date(2026, 1, 1), sunset=date(2026, 3, 31), {DECLARED}", "89 days after its beginning"),
            (f"since=date(2026, 4, 1), sunset=date(2026, 1, 1), {DECLARED}", "-90 days after"),
            (
                "since=date(2026, 1, 1), sunset=date(2027, 1, 1), successor='/api/v3/bills', changes=('All.',)",
                "'/api/v3/bills' is no other route",
            ),
            (
                "since=date(2026, 1, 1), sunset=date(2027, 1, 1), successor='/api/v1/bills', changes=('All.',)",
                "'/api/v1/bills' is no other route",
            ),
            (
                "since=date(2026, 1, 1), sunset=date(2027, 1, 1), successor='/api/v2/bills', changes=()",
                "names no changes",
            ),
        ],
    )
    def test_that_clients_cannot_follow_is_refused_at_the_start(
        self, tmp_path: Path, deprecation: str, mistake: str
    ) -> None:
        [error] = self.errors(tmp_path, deprecation)
        assert "/api/v1/bills" in error
        assert mistake in error

    def test_with_ninety_days_of_notice_is_accepted(self, tmp_path: Path) -> None:
        assert self.errors(tmp_path, f"since=date(2026, 1, 1), sunset=date(2026, 4, 1), {self.DECLARED}") == []
