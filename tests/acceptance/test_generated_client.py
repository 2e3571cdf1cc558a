"""A client that a generator of other people made from the document walks the shop, whatever the deployment."""

import importlib
import ssl
from types import ModuleType

import pytest

from tests.acceptance.topologies import Deployment
from tests.openapi import generated


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module of the walk, with the generated client that it imports."""
    folder = generated.python_client(tmp_path_factory.mktemp("client")).parent
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return importlib.import_module("tests.openapi.walk")


class TestTheGeneratedClient:
    def test_walks_the_shop(self, deployment: Deployment, walk: ModuleType) -> None:
        trust = ssl.create_default_context(cafile=deployment.authority) if deployment.authority else True
        walk.Walk(deployment.base_url, trust).run()
