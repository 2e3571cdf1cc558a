"""One file per command; Django finds them by name."""
