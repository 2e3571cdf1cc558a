import pytest


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """The database engine that this run is on."""
    return str(request.config.getoption("--engine"))
