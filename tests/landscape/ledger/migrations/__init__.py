"""The tables of this module."""
