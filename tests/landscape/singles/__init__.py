"""Keeps a balance for every key, one message at a time."""
