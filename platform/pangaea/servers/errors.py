"""The error of an unavailable server."""


class Unavailable(Exception):
    """A server is not available on this machine. The text gives the reason."""
