"""Records every tick, in the order of its application."""
