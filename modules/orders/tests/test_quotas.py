"""The quotas of this module's routes, as callers see them."""

import re
from dataclasses import replace
from uuid import uuid4

import pytest
from pytest_django import Settings
from rest_framework.response import Response
from rest_framework.test import APIClient

from modules.orders.tests.shop import ORDERS, PRODUCTS, customer, keyed, lines, stocked
from pangaea import testing

pytestmark = pytest.mark.django_db(databases=["orders"])

V2 = "/api/v2/orders"
POLICY = '"orders:changes_per_minute";q=600;w=60, "orders:changes_per_day";q={day};w=86400'


def rest(response: Response, name: str) -> int:
    """How many requests are left of a quota."""
    found = re.search(rf'"{name}";r=(\d+);t=\d+', response.headers["RateLimit"])
    assert found
    return int(found[1])


class TestChanges:
    @pytest.mark.parametrize(("plan", "day"), [("free", 1_000), ("pro", 100_000)])
    def test_have_quotas_by_the_plan(self, plan: str, day: int) -> None:
        stocked("ABC-1")
        answer = testing.client_for(uuid4(), plan=plan).post(ORDERS, lines(ABC_1=1))
        assert answer.status_code == 201
        assert answer.headers["RateLimit-Policy"] == POLICY.format(day=day)
        assert rest(answer, "orders:changes_per_day") == day - 1

    def test_of_both_versions_are_counted_together_refused_ones_and_repeats_too(self) -> None:
        stocked("ABC-1")
        client, key = customer(), keyed()
        answers = [
            client.post(ORDERS, lines(ABC_1=1)),
            client.post(V2, lines(ABC_1=1), **key),
            client.post(V2, lines(ABC_1=1), **key),
            client.post(ORDERS, {}),
            client.post(f"{ORDERS}/{uuid4()}/cancel"),
        ]
        assert [each.status_code for each in answers] == [201, 201, 201, 400, 404]
        assert answers[2].headers["Idempotent-Replayed"] == "true"
        assert [rest(each, "orders:changes_per_day") for each in answers] == [999, 998, 997, 996, 995]
        assert "RateLimit" not in client.get(ORDERS).headers


class TestReads:
    def test_of_the_catalogue_are_counted_by_address(self, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, quota_factor=2)
        client = APIClient()
        answers = [client.get(PRODUCTS, REMOTE_ADDR=each) for each in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")]
        assert [each.headers["RateLimit-Policy"] for each in answers] == [
            '"orders:products_per_minute";q=12000;w=60'
        ] * 3
        assert [rest(each, "orders:products_per_minute") for each in answers] == [11_999, 11_998, 11_999]
