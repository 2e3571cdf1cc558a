"""Another process's public keys, by its JWKS endpoint.

Only this file asks another process for an answer while a request waits, so its rules are strict: a known key never
waits, an unknown one waits for at most one answer at a time, and a source that is down leaves the known keys in force.
"""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from pangaea.errors import Misconfigured, Unavailable

log = structlog.get_logger()

TIMEOUT = 2.0
"""Seconds to wait for the source."""
FRESH_FOR = 300.0
"""Seconds after which the keys are asked for again, in the background: how long a withdrawn key may live on."""
ASK_EVERY = 10.0
"""Seconds between two questions, however many unknown key ids arrive: a stream of forged tokens costs one."""
ASK_FIRST_EVERY = 1.0
"""Seconds between two questions while there is no key at all and a probe wants to know."""
MAX_BYTES = 64 * 1024


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Keys come from the address that is configured: another one would be of another's choosing."""


def opener(*handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    """For the key source, which is one of our own: a proxy for the outside world must not see these requests."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects(), *handlers)


def fetch(url: str, opener: urllib.request.OpenerDirector = opener()) -> bytes:  # noqa: B008 - one for all calls
    """GET the document. Raises OSError when the source does not answer well."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - RemoteKeys checks the scheme
    with opener.open(request, timeout=TIMEOUT) as response:
        body: bytes = response.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise OSError(f"the key set at {url} is larger than {MAX_BYTES} bytes")
    return body


def parse(body: bytes) -> dict[str, ECKey]:
    """The ES256 keys of a JWK Set by id; other kinds are none of ours. Raises ValueError when there is none."""
    document = json.loads(body)
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JWK Set: no list of keys")  # noqa: TRY004 - the document is wrong, not our call
    found: dict[str, ECKey] = {}
    for fields in document["keys"]:
        if not isinstance(fields, dict) or fields.get("kty") != "EC" or fields.get("crv") != "P-256":
            continue
        if fields.get("use", "sig") != "sig" or fields.get("alg", "ES256") != "ES256":
            continue
        try:
            key = ECKey.import_key(fields)
        except (JoseError, ValueError, TypeError):
            continue
        key.ensure_kid()
        found[str(key.kid)] = key
    if not found:
        raise ValueError("the key set holds no ES256 key")
    return found


class RemoteKeys:
    """The keys at `url`. Thread-safe."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        fetch: Callable[[str], bytes] = fetch,
    ) -> None:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise Misconfigured(f"JWKS_URL must be an http or https URL, not {url!r}.")
        self.url = url
        self._clock = clock
        self._fetch = fetch
        self._keys: Mapping[str, ECKey] = {}
        self._asking = threading.Lock()
        self._asked_at: float | None = None
        self._answered_at: float | None = None

    def find(self, kid: str) -> ECKey | None:
        """The key, or None when the source does not have it. Raises Unavailable when the source cannot be read."""
        if key := self._keys.get(kid):
            if self._is_older_than(FRESH_FOR, self._answered_at) and self._may_ask():
                threading.Thread(target=self._ask_unless_asking, name="jwks", daemon=True).start()
            return key
        with self._asking:
            # The holder of the lock before may have fetched the key.
            if kid not in self._keys and self._may_ask():
                self._ask()
        if (found := self._keys.get(kid)) is None and self._answered_at != self._asked_at:
            raise Unavailable(f"The keys at {self.url} cannot be read, so a token cannot be judged.")
        return found

    def available(self) -> bool:
        """Whether there are keys; while there are none, it asks for them, at most once a second."""
        if not self._keys:
            with self._asking:
                if not self._keys and self._is_older_than(ASK_FIRST_EVERY, self._asked_at):
                    self._ask()
        return bool(self._keys)

    def _ask_unless_asking(self) -> None:
        if self._asking.acquire(blocking=False):
            try:
                if self._may_ask():
                    self._ask()
            finally:
                self._asking.release()

    def _ask(self) -> None:
        asked_at = self._asked_at = self._clock()
        try:
            self._keys = parse(self._fetch(self.url))
        except (OSError, ValueError) as error:
            log.warning("the key set cannot be read", url=self.url, error=str(error), known_keys=len(self._keys))
        else:
            self._answered_at = asked_at

    def _may_ask(self) -> bool:
        return self._is_older_than(ASK_EVERY, self._asked_at)

    def _is_older_than(self, seconds: float, then: float | None) -> bool:
        return then is None or self._clock() - then >= seconds
