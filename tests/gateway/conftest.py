"""The service behind the gateway in most of its tests."""

from collections.abc import Iterator

import pytest

from tests.gateway.edge import Service, services


@pytest.fixture(scope="module")
def shop() -> Iterator[Service]:
    with services("shop") as running:
        yield running["shop"]
