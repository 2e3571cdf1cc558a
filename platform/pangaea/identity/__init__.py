"""Who is asking: a person by an access token, a service by a certificate.

principal       the caller, as a view sees it
keys            the keys that sign and verify: this process's own, or another process's by JWKS
key_rotation    a file of such keys, and how they follow each other
tokens          issue and verify access tokens (JWT, ES256)
authentication  the bearer scheme for DRF
permissions     what a token's scopes allow
spiffe          the names by which services know each other
mutual_tls      connections on which both sides show a certificate, read again when it changes
callers         which services may call this one
password_attempts  counted before they are tried, and slowed down
password_hashing   few at a time
models          what is counted of them
client_address  where a request comes from, as far as that can be trusted
certificates    a development authority, and certificates with those names
"""
