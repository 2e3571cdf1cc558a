"""Publishes ticks."""
