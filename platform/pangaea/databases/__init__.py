"""One alias per module, over PostgreSQL or SQLite."""
