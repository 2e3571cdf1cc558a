"""What every HTTP API of the modules shares.

problems    every error as a problem document (RFC 9457)
fallback    the same where DRF does not reach: unknown paths, hosts, middlewares, other views
parsers     JSON, strictly
bodies      serializer and fields that take a body at its word
metadata    the answer to OPTIONS
pagination  cursor pages
content_security   the Content-Security-Policy of every answer
documents   the pages of the APIs, for everybody or for operators alone
schema      OpenAPI 3.0.3: the whole, and a document per module
"""
