"""Writes down every tick, in the order of its application."""
