from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from pytest_django import Settings

from tests.kernel.pipeline import Ledger, Wire, ledger_table


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with ledger_table():
        yield Ledger()


@pytest.fixture
def wire(ledger: Ledger, settings: Settings) -> Wire:
    settings.PANGAEA = replace(settings.PANGAEA, catch_up_renewal=timedelta(microseconds=1))
    return Wire(ledger)
