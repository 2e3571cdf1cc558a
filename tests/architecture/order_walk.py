"""The files that one order's data passes, from the request to the read model and the page, in the order of entry.

`python -m tests.architecture.order_walk` runs the local profile in an empty folder: web, relay and worker in one
process, SQLite. A first order warms everything up; the second one is followed by `sys.setprofile`.
"""

import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (f"{ROOT}/platform/pangaea/", f"{ROOT}/modules/")
ACCOUNT = {"email": "walker@example.com", "password": "correct horse battery"}


class Followed:
    """Which files each thread enters, in order, while `recording`."""

    def __init__(self) -> None:
        self.is_recording = False
        self.files: dict[str, list[str]] = {}

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        path = frame.f_code.co_filename
        if not self.is_recording or event != "call" or not path.startswith(SOURCES):
            return
        files = self.files.setdefault(threading.current_thread().name, [])
        short = path.removeprefix(f"{ROOT}/").removeprefix("platform/")
        if short not in files:
            files.append(short)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Follow this thread too, for this long."""
        self.files.clear()
        sys.setprofile(self)
        self.is_recording = True
        yield
        self.is_recording = False
        sys.setprofile(None)


def walk() -> Mapping[str, list[str]]:
    """The files by stage: request, relay, worker, page."""
    followed = Followed()
    threading.setprofile(followed)
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    from pangaea import modules
    from pangaea.processes import relay, worker
    from pangaea.testing import wait_until

    call_command("migrate", verbosity=0, interactive=False)
    call_command("seed_demo", stdout=sys.stderr)
    client = Client(SERVER_NAME="localhost")

    def post(path: str, body: object) -> Any:
        response = client.post(path, json.dumps(body), content_type="application/json", headers=headers)
        assert response.status_code < 300, response.content
        return response.json()

    def order() -> str:
        placed = post("/api/v1/orders", {"lines": [{"sku": "MAP-PANGAEA", "quantity": 1}]})
        return str(placed["id"])

    def shows(order_id: str) -> bool:
        return order_id in client.get("/bff/v1/home", headers=headers).content.decode()

    headers: dict[str, str] = {}
    with worker.InProcessWorker(), relay.Relays(modules.labels()):
        post("/api/v1/accounts", {**ACCOUNT, "full_name": "Walker"})
        headers["Authorization"] = f"Bearer {post('/api/v1/tokens', ACCOUNT)['access_token']}"
        first = order()
        wait_until(lambda: shows(first), what="the first order to be shown")
        with followed.recording():
            second = order()
            sys.setprofile(None)
            wait_until(lambda: shows(second), what="the second order to be shown")
        stages = {
            "request": followed.files[threading.current_thread().name],
            "relay": followed.files["relay orders"],
            "worker": followed.files["worker"],
        }
        with followed.recording():
            shows(second)
        return stages | {"page": followed.files[threading.current_thread().name]}


def main() -> None:
    """Print the walk."""
    os.environ |= {"DJANGO_SETTINGS_MODULE": "pangaea.settings.local", "LOG_LEVEL": "ERROR"}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            f"{name}_DATABASE_URL": f"sqlite:///{folder}/{name}.sqlite3" for name in ("USERS", "ORDERS", "WEB_BFF")
        }
        os.chdir(folder)
        for stage, files in walk().items():
            sys.stdout.write(f"{stage}: {len(files)} files\n    {' > '.join(files)}\n")
        sys.stdout.flush()
        os._exit(0)  # without waiting for threads that wait for more


if __name__ == "__main__":
    main()
