"""Version 1: serializers and views together, one module a route."""
