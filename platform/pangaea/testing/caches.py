"""The cache of tests, which is inside the process."""

import pytest
from django.core.cache import caches


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """Empty the cache before each test, and forget its outages."""
    from pangaea import caching

    caches["default"].clear()
    caching.forget_outage()
