"""The HTTP API: one package per version, in it one file per route; `jwks` has no version (RFC 8615)."""
