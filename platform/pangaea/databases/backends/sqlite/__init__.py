"""Django's SQLite backend with one fair write lock per file, so that web, relay and worker threads take turns."""
