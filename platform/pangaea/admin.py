"""The admin pages of the kernel's tables, where Django looks for them."""

from pangaea.ops.api_calls import ApiCallsAdmin
from pangaea.ops.dead_letters import DeadLetterAdmin
from pangaea.ops.stream_pages import StreamAdmin

__all__ = ["ApiCallsAdmin", "DeadLetterAdmin", "StreamAdmin"]
