"""The HTTP API: one package per version, in it one file per route.

The files:

    jwks  the public keys, which have no version (RFC 8615)
    v1    version 1
"""
