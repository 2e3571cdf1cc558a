"""Logs, the correlation id, and the state that relays and workers report."""
