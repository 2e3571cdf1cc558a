"""The suite's profile. `pangaea.testing` points the aliases at real servers before the first test that needs one."""

import os

from joserfc.jwk import ECKey

from pangaea.settings import base
from pangaea.settings.declared import Declared

PANGAEA: Declared = Declared.read(
    os.environ | {"DATABASE_URL": "", "BROKER_URL": "memory://localhost/"},
    secret_key="only-for-tests-" + "0123456789abcdefghijklmnopqrstuvwxyz",
    allowed_hosts=("testserver", "localhost", "127.0.0.1"),
    signing_key=ECKey.generate_key("P-256").as_pem(private=True).decode(),
)
PANGAEA_IN_PROCESS: bool = False
globals().update(
    base.compose(
        PANGAEA,
        database_urls=dict.fromkeys(["default", *base.installed_labels(PANGAEA)], "sqlite://:memory:"),
        debug=False,
    )
)
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
