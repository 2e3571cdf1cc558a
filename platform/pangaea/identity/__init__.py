"""Callers, identified by access tokens with roles; the keys of these tokens; attempts at passwords.

Public for modules: password_attempts, password_hashing, password_spelling, permissions, principal, token_keys, tokens.

The files:

    apps               registers the count of password attempts with Django
    authentication     the bearer scheme for DRF
    client_address     the client's address, as far as it can be trusted
    key_rotation       a file of signing keys, and their rotation
    models             the count of failed password attempts
    password_attempts  attempts counted before they are tried, and slowed down where they fail
    password_hashing   a bound on the hashes that a process computes at once
    password_spelling  one spelling per password (RFC 8265)
    permissions        HasScope: the scopes that a view requires
    principal          the caller, as a view sees it
    remote_keys        the keys of another process, read by JWKS
    token_keys         the keys that sign and verify tokens
    tokens             access tokens (JWT, ES256), issued and verified
"""
