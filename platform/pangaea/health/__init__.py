"""Whether a process is alive and ready, and what waits for a person."""
