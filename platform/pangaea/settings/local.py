"""One process on a laptop: SQLite files, a bus in process, generated keys. Nothing to install, nothing to configure."""

import os

from pangaea import modules
from pangaea.settings import base
from pangaea.settings.declared import Declared
from pangaea.settings.generated import generated_secrets

_state = modules.project_root() / os.environ.get("LOCAL_STATE_DIR", ".local")
PANGAEA: Declared = Declared.read(
    os.environ,
    allowed_hosts=("localhost", "127.0.0.1", "[::1]"),
    secure_cookies=False,
    broker_url="memory://localhost/",
    # SQLite has one writer: a batch holds the file's lock, and requests wait for it.
    relay_batch=50,
    **generated_secrets(_state),
)
PANGAEA_IN_PROCESS: bool = True
globals().update(
    base.compose(
        PANGAEA,
        database_urls={
            alias: f"sqlite:///{_state / alias}.sqlite3" for alias in ["default", *base.installed_labels(PANGAEA)]
        },
        debug=True,
    )
)
