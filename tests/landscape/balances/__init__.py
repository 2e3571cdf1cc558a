"""Keeps a balance for every key, set-wise."""
