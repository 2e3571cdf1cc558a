"""The error of a server that cannot be had."""


class Unavailable(Exception):
    """A server cannot be had on this machine. The text gives the reason."""
