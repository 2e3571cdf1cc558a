"""Web, relay and worker: how each runs, and how it ends."""
