"""Keeps a balance per key, set-wise."""
