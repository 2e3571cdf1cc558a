"""Calls of the API are counted per version and caller, without a database query of the request."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import Barrier
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from pangaea import modules, testing
from pangaea.api import call_counting, call_counts
from pangaea.api.call_counting import CallCounter, counter
from pangaea.api.call_counts import ANONYMOUS, OTHERS, ApiCalls, Called
from pangaea.ops.models import Operator

pytestmark = pytest.mark.django_db(databases="__all__")

ORDERS, PRODUCTS = "/api/v1/orders", "/api/v1/products"
PAGE = "/admin/pangaea/apicalls/"
TODAY = timezone.now().date()


@pytest.fixture
def nothing_counted() -> None:
    """Forget what other tests have counted in this process."""
    counter.flush()
    for label in modules.labels():
        ApiCalls.objects.using(label).all().delete()


def rows(module: str = "orders", *, of: CallCounter = counter) -> set[tuple[str, str, str, int]]:
    """What a flush leaves in the module's table."""
    of.flush()
    found = ApiCalls.objects.using(module)
    assert set(found.values_list("day", flat=True)) <= {TODAY, TODAY + timedelta(days=1)}
    return set(found.values_list("version", "route", "subject", "calls"))


def called(subject: str = ANONYMOUS, *, day: date = TODAY, route: str = ORDERS, version: str = "v1") -> Called:
    return Called(subject, route, day, version)


def output_of(*arguments: str) -> str:
    stream = io.StringIO()
    call_command("api_calls", *arguments, stdout=stream)
    return stream.getvalue()


@pytest.mark.usefixtures("nothing_counted")
class TestACall:
    def test_is_counted_for_its_version_route_and_caller(self) -> None:
        ada, bob = uuid4(), uuid4()
        for subject, path in ((ada, ORDERS), (ada, f"{ORDERS}/{uuid4()}"), (ada, "/api/v2/orders"), (bob, ORDERS)):
            testing.client_for(subject).get(path)

        assert rows() == {
            ("v1", ORDERS, str(ada), 2),
            ("v1", ORDERS, str(bob), 1),
            ("v2", "/api/v2/orders", str(ada), 1),
        }

    def test_without_a_valid_token_is_anonymous(self, client: Client) -> None:
        for headers in ({}, {"Authorization": "Bearer x"}):
            client.get(ORDERS, headers=headers)
            client.get(PRODUCTS)
        assert rows() == {("v1", ORDERS, ANONYMOUS, 2), ("v1", PRODUCTS, ANONYMOUS, 2)}

    def test_is_counted_whatever_its_answer(self) -> None:
        caller = testing.client_for(subject := uuid4(), ["orders:read"])
        for answer in (caller.post(ORDERS, {}), caller.delete(ORDERS), caller.get(f"{ORDERS}/{uuid4()}")):
            assert answer.status_code >= 400
        assert rows() == {("v1", ORDERS, str(subject), 3)}

    @pytest.mark.parametrize("path", ["/.well-known/jwks.json", "/nothing", "/api/v9/orders", "/livez", "/"])
    def test_of_what_has_no_version_is_not_counted(self, client: Client, path: str) -> None:
        client.get(path)
        client.options(ORDERS)
        assert rows() == rows("users") == set()

    def test_is_counted_without_a_query(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        caller = testing.client_for(uuid4())
        with django_assert_num_queries(1, using="orders"):
            caller.get(ORDERS)
        with django_assert_num_queries(0, using="default"):
            caller.get(ORDERS)

    def test_adds_to_the_row_of_its_day(self) -> None:
        for _ in range(3):
            Client().get(PRODUCTS)
            counter.flush()
        assert rows() == {("v1", PRODUCTS, ANONYMOUS, 3)}


@pytest.mark.django_db(databases=["orders", "users"], transaction=True)
class TestConcurrentCounters:
    def test_loses_no_call_of_concurrent_processes(self) -> None:
        counters = [CallCounter() for _ in range(4)]

        rendezvous = Barrier(len(counters), timeout=60)

        def work(number: int) -> None:
            rendezvous.wait()
            for _ in range(5):
                for subject in ("a", "b", "c"):
                    counters[number].count("orders", version="v1", route=ORDERS, subject=subject)
                counters[number].flush()
            connections.close_all()

        with ThreadPoolExecutor(len(counters)) as pool:
            list(pool.map(work, range(len(counters))))
        assert rows(of=counters[0]) == {("v1", ORDERS, subject, 20) for subject in ("a", "b", "c")}

    def test_keeps_what_the_database_does_not_take(self) -> None:
        own = CallCounter()
        with connections["orders"].cursor() as cursor:
            cursor.execute("ALTER TABLE pangaea_api_calls RENAME TO elsewhere")
        try:
            own.count("orders", version="v1", route=ORDERS, subject="a")
            own.count("users", version="v1", route="/api/v1/tokens", subject=ANONYMOUS)
            own.flush()
        finally:
            with connections["orders"].cursor() as cursor:
                cursor.execute("ALTER TABLE elsewhere RENAME TO pangaea_api_calls")
        assert ("v1", "/api/v1/tokens", ANONYMOUS, 1) in rows("users", of=CallCounter())
        assert rows(of=CallCounter()) == set()
        own.count("orders", version="v1", route=ORDERS, subject="a")
        assert rows(of=own) == {("v1", ORDERS, "a", 2)}

    def test_writes_the_rest_when_it_is_stopped(self) -> None:
        own = CallCounter()
        own.start()
        own.count("orders", version="v1", route=ORDERS, subject="a")
        own.stop()
        assert rows(of=CallCounter()) == {("v1", ORDERS, "a", 1)}


class TestTheCounter:
    def test_names_no_more_callers_than_it_can_hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(call_counting, "MOST_CALLERS", 2)
        own = CallCounter()
        for subject in "abcdab":
            own.count("orders", version="v1", route=ORDERS, subject=subject)
        own.flush()
        assert rows(of=own) == {("v1", ORDERS, "a", 2), ("v1", ORDERS, "b", 2), ("v1", ORDERS, OTHERS, 2)}

    def test_writes_more_callers_than_fit_into_a_statement(self) -> None:
        own = CallCounter()
        for number in range(call_counts.ROWS_PER_STATEMENT + 1):
            own.count("orders", version="v1", route=ORDERS, subject=str(UUID(int=number)))
        own.flush()
        assert len(rows(of=own)) == call_counts.ROWS_PER_STATEMENT + 1

    def test_writes_nothing_where_it_was_not_started(self) -> None:
        own = CallCounter()
        own.count("orders", version="v1", route=ORDERS, subject="a")
        own.stop()
        assert rows(of=CallCounter()) == set()


class TestOldRows:
    def test_are_deleted_after_the_retention(self, settings: Settings) -> None:
        limit = TODAY - settings.PANGAEA.api_calls_retention
        call_counts.add("orders", {called("old", day=limit - timedelta(days=2)): 1, called("kept", day=limit): 1})

        call_command("prune", "--module=orders", stdout=io.StringIO())
        assert set(ApiCalls.objects.using("orders").values_list("subject", flat=True)) == {"kept"}


class TestTheCommand:
    def test_lists_who_calls_a_version(self) -> None:
        call_counts.add("orders", {called("ada"): 3, called("bob"): 1_200, called("a-third", version="v2"): 7})
        call_counts.add("orders", {called("bob", day=TODAY - timedelta(days=40)): 5_000})

        lines = output_of("--module=orders", "--api-version=v1").splitlines()
        assert lines[0].startswith("orders: 1,203 calls of 2 callers since ")
        assert [line.split()[:4] for line in lines[1:]] == [["v1", ORDERS, "bob", "1,200"], ["v1", ORDERS, "ada", "3"]]
        assert "a-third" in output_of("--module=orders")
        since = (TODAY - timedelta(days=50)).isoformat()
        assert "6,200" in output_of("--module=orders", f"--since={since}")

    def test_shortens_a_long_list_and_names_the_remedy(self) -> None:
        call_counts.add("orders", {called(str(number)): 1 for number in range(3)})
        assert output_of("--module=orders", "--most=2").splitlines()[-1].strip() == "and 1 more; --most=3 lists all"

    def test_prints_json(self) -> None:
        call_counts.add("orders", {called("ada"): 3})
        [found] = json.loads(output_of("--json", "--module=orders"))["orders"]
        assert found == {"version": "v1", "route": ORDERS, "subject": "ada", "calls": 3, "last": TODAY.isoformat()}

    def test_of_no_calls_prints_that(self) -> None:
        assert output_of("--module=web_bff").startswith("web_bff: no calls since ")

    def test_names_the_modules_there_are(self) -> None:
        with pytest.raises(CommandError, match="Installed: orders"):
            output_of("--module=nothing")


class TestThePages:
    @pytest.fixture
    def browser(self, client: Client) -> Client:
        client.force_login(Operator.objects.create_superuser("chief"))
        call_counts.add("orders", {called("ada"): 3, called("bob"): 1_200, called("a-third", version="v2"): 7})
        return client

    def test_show_the_calls_of_each_version(self, browser: Client) -> None:
        page = browser.get(PAGE).content.decode()
        assert f"{PAGE}orders/?version__exact=v1&amp;day__gte=" in page
        assert "1203 in 30 days" in page
        assert "Calls of deprecated versions" in browser.get("/admin/").content.decode()

    def test_list_callers_with_the_sum_of_what_is_filtered(self, browser: Client) -> None:
        for query, total, listed in (
            ("", "1,210", "a-third"),
            ("?version__exact=v1", "1,203", "bob"),
            ("?q=ada", "3", "ada"),
        ):
            page = browser.get(f"{PAGE}orders/{query}").content.decode()
            assert f"API calls of orders: {total}" in page
            assert listed in page
        assert "a-third" not in browser.get(f"{PAGE}orders/?version__exact=v1").content.decode()

    def test_change_nothing(self, browser: Client) -> None:
        assert browser.get(f"{PAGE}add/").status_code == 404
        assert browser.get(f"{PAGE}nothing/").status_code == 404

    def test_are_for_operators_who_may_view_them(self, client: Client) -> None:
        client.force_login(Operator.objects.create_user("guest", is_staff=True))
        assert client.get(PAGE).status_code == 403
        assert client.get(f"{PAGE}orders/").status_code == 403
