"""How large a request may be, at the web process and at the gateway: both refuse the same requests."""

MAX_LINE = 4094
"""Bytes of the request line: method, address with its query, and version."""
MAX_FIELD = 8190
"""Bytes of one header field: its name, colon and value."""
MAX_FIELDS = 100
"""Header fields that a client may send."""
GATEWAY_FIELDS = 10
"""The most header fields that the gateway adds."""
MAX_HEAD = 60 << 10
"""Bytes of request line and header fields together. A multiple of 1 KiB."""
MAX_BODY = 1 << 20
"""Bytes of the body."""
