"""Where Django looks for the pages of the kernel's tables."""

from pangaea.ops.dead_letters import DeadLetterAdmin
from pangaea.ops.stream_pages import StreamAdmin

__all__ = ["DeadLetterAdmin", "StreamAdmin"]
