"""What every HTTP API of the modules shares.

Public for modules: bodies, conditional_requests, fields, filters, idempotency, pagination.

The files:

    bodies                strict request bodies: serializer, fields, repeated items
    cache_control         Cache-Control on every answer: who may keep it
    call_counting         counts the calls of versions in a web process, and writes them in batches
    call_counts           the table of those calls, and what is read from it
    callers               which services may call this one, by their certificates
    conditional_requests  ETags, 304 for what the caller has, 412 for a change of another state
    content_security      the Content-Security-Policy of every answer
    cross_origin          what web pages of other origins may do (CORS), at the gateway too
    cursors               the cursors of lists: signed, and bound to one list
    describing            how a mechanism describes itself in the OpenAPI documents
    documents             the pages of the APIs, public or for operators only
    encodings             which encodings of a body are accepted: UTF-8, not compressed
    exposure              what the modules' URL patterns expose, and the mistakes in it
    fallback              problem documents where DRF does not reach: unknown paths, hosts, middlewares, other views
    fields                fields that all APIs share
    filters               query parameters that narrow a list
    idempotency           unsafe requests that may be repeated: the decorator of their views
    idempotency_keys      the header Idempotency-Key, and the fingerprints of requests
    idempotency_records   the requests that succeeded, with their answers, and how long they are kept
    metadata              the answer to OPTIONS
    negotiation           the formats that a client accepts
    openapi               OpenAPI 3.1: one document of all modules, and one per module
    pagination            lists: pages by cursor, filters, orderings
    parsers               JSON, strictly
    problem_types         every code that a problem document can have, explained
    problems              every error as a problem document (RFC 9457)
    rate_limits           quotas of routes, and the header fields RateLimit and RateLimit-Policy
    read_only             views that only read
    releases              released documents: frozen, and what a change may not do to them
    request_limits        how large a request may be, at the gateway too
    shaping               how many requests of a route are answered at once
    versioning            the versions of a resource: unknown ones, and the announced end of deprecated ones
"""
