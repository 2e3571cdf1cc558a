"""PostgreSQL as Django's own backend, whose errors say from which alias they come."""
