"""Two devices that change one profile: neither overwrites what it has not seen."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connections

from modules.users.models import Account
from modules.users.tests.conftest import Customer
from pangaea import testing

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

ME = "/api/v1/accounts/me"
DEVICES = 6


def test_of_writers_that_know_one_state_one_succeeds(ada: Customer) -> None:
    tag = ada.client.get(ME).headers["ETag"]
    rendezvous = Barrier(DEVICES, timeout=60)

    def change(number: int) -> int:
        client = testing.client_for(ada.id)
        try:
            rendezvous.wait()
            body = {"full_name": f"Device {number}"}
            return int(client.patch(ME, body, format="json", headers={"If-Match": tag}).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(DEVICES) as pool:
        statuses = Counter(pool.map(change, range(DEVICES)))
    assert statuses == {200: 1, 412: DEVICES - 1}
    assert Account.objects.get().version == 2
