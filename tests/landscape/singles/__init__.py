"""Keeps a balance per key, one message at a time."""
