"""What each mechanism of the API adds to an operation: one line per mechanism."""

from pangaea.api import conditional_requests, idempotency, pagination, rate_limits, shaping, versioning
from pangaea.api.describing import Describer
from pangaea.api.openapi import every_operation

DESCRIBERS: tuple[Describer, ...] = (
    every_operation.describe,
    idempotency.describe,
    conditional_requests.describe,  # after idempotency: an operation's own ETag replaces that of its late repeats
    pagination.describe,
    shaping.describe,
    versioning.describe,
    rate_limits.describe,
)
"""Called in this order for every operation. Each is in the file of its mechanism (see `pangaea.api.describing`)."""
