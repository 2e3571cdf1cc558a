"""What most tests of the gateway stand before."""

from collections.abc import Iterator

import pytest

from tests.gateway.edge import Service, services


@pytest.fixture(scope="module")
def shop() -> Iterator[Service]:
    with services("shop") as running:
        yield running["shop"]
