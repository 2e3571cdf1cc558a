"""Where Django looks for the pages of the kernel's tables."""

from pangaea.ops.dead_letters import DeadLetterAdmin

__all__ = ["DeadLetterAdmin"]
