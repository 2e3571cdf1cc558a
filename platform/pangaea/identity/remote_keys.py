"""Another process's public keys, read from its JWKS endpoint.

Only this file calls another process while a request waits, so its rules are strict: looking up a known key never waits,
looking up an unknown key waits for one answer at most, and known keys stay valid while the source is down.
"""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from pangaea.addresses import http
from pangaea.errors import Misconfigured, Unavailable

log = structlog.get_logger()

TIMEOUT = 2.0
"""Seconds to wait for the source."""
REFRESH_AFTER = 300.0
"""Seconds after which the keys are read again, in the background. A withdrawn key stays valid here that long."""
RETRY_AFTER = 10.0
"""Seconds between two requests for any number of unknown key ids: a flood of forged tokens costs one request."""
FIRST_RETRY_AFTER = 1.0
"""Seconds between two requests of a probe while there is no key."""
MAX_BYTES = 64 * 1024


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: keys come from the configured address, not from one that an answer chooses."""


def opener(*handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    """An opener without a proxy: the key source is a service of this deployment, and no proxy may see its requests."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects(), *handlers)


def fetch(url: str, opener: urllib.request.OpenerDirector = opener()) -> bytes:  # noqa: B008 - one for all calls
    """GET the document. Raises OSError unless the source answers with a success."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - RemoteKeys checks the scheme
    with opener.open(request, timeout=TIMEOUT) as response:
        body: bytes = response.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise OSError(f"the key set at {url} is larger than {MAX_BYTES} bytes")
    return body


def parse(body: bytes) -> dict[str, ECKey]:
    """The ES256 keys of a JWK Set by id; other kinds are skipped. Raises ValueError when there is none."""
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
        try:
            self.url = http.parse(url, example="https://users.example/.well-known/jwks.json").text
        except Misconfigured as error:
            raise Misconfigured(f"JWKS_URL {error}") from error
        self._clock = clock
        self._fetch = fetch
        self._keys: Mapping[str, ECKey] = {}
        self._fetching = threading.Lock()
        self._requested_at: float | None = None
        self._answered_at: float | None = None

    def find(self, kid: str) -> ECKey | None:
        """The key, or None when the source does not have it. Raises Unavailable when the source cannot be read."""
        if key := self._keys.get(kid):
            if self._is_older_than(REFRESH_AFTER, self._answered_at) and self._may_fetch():
                threading.Thread(target=self._refresh_unless_fetching, name="jwks", daemon=True).start()
            return key
        with self._fetching:
            # The thread that held the lock before may have fetched the key.
            if kid not in self._keys and self._may_fetch():
                self._refresh()
        if (found := self._keys.get(kid)) is None and self._answered_at != self._requested_at:
            raise Unavailable(f"The keys at {self.url} cannot be read, so a token cannot be verified.")
        return found

    def available(self) -> bool:
        """Whether there are keys; while there are none, they are requested, at most once a second."""
        if not self._keys:
            with self._fetching:
                if not self._keys and self._is_older_than(FIRST_RETRY_AFTER, self._requested_at):
                    self._refresh()
        return bool(self._keys)

    def _refresh_unless_fetching(self) -> None:
        if self._fetching.acquire(blocking=False):
            try:
                if self._may_fetch():
                    self._refresh()
            finally:
                self._fetching.release()

    def _refresh(self) -> None:
        requested_at = self._requested_at = self._clock()
        try:
            self._keys = parse(self._fetch(self.url))
        except (OSError, ValueError) as error:
            log.warning("key set request failed", url=self.url, error=str(error), known_keys=len(self._keys))
        else:
            self._answered_at = requested_at

    def _may_fetch(self) -> bool:
        return self._is_older_than(RETRY_AFTER, self._requested_at)

    def _is_older_than(self, seconds: float, then: float | None) -> bool:
        return then is None or self._clock() - then >= seconds
