"""Says ticks."""
