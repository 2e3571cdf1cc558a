"""The walk that `make run` and `make split` print, run in a shell."""

import json
import os
import shutil
import subprocess

from pangaea.management.welcome import walk
from pangaea.testing.availability import unavailable
from tests.acceptance.topologies import Deployment


class TestTheWalk:
    def test_ends_on_a_page_that_shows_the_order(self, deployment: Deployment) -> None:
        if not shutil.which("curl"):
            unavailable("curl", "the walk is made of its calls", remedy="install it")
        # curl trusts the deployment's own authority, where there is one.
        trust = {"CURL_CA_BUNDLE": str(deployment.authority)} if deployment.authority else {}
        done = subprocess.run(
            ["sh", "-e", "-u", "-c", "\n".join(walk(deployment.base_url))],
            env={"PATH": os.environ["PATH"], "NO_PROXY": "*", **trust},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        account, catalogue, order, home = map(json.loads, done.stdout.splitlines())
        assert catalogue["results"]
        assert home["me"]["email"] == account["email"]
        assert [each["id"] for each in home["latest_orders"]] == [order["id"]]
