"""The kernel of Pangaea: everything that modules build on. It names no module.

Public, for modules:

    messages                     Event, Command, Money, Received: the classes of messages
    modules                      ModuleConfig, Route, RateLimit, Quota, Scope, …: a module's declarations
    errors                       the error tree; stable codes, no HTTP
    ids                          time-ordered identifiers
    text                         text from strangers: one spelling, visible, in one direction
    outbox                       publish(message, key=...), in the transaction of the change
    databases.versions           VersionField: a number that every change of a row raises
    change_capture               Capture, money, enum: changed rows become messages
    inbox.subscriptions          Projection and Reaction, and their handlers
    api.bodies                   strict request bodies
    api.conditional_requests     ETags, and conditions of reads and changes
    api.fields                   values that all APIs render alike
    api.filters                  query parameters that narrow a list
    api.idempotency              unsafe requests that may be repeated
    api.pagination               lists: pages by a cursor
    identity.permissions         HasScope: what a view requires of an access token
    identity.principal           the caller
    identity.tokens              access tokens, issued and verified
    identity.token_keys          the keys that sign and verify access tokens
    identity.password_attempts   failed attempts, counted and slowed down
    identity.password_hashing    at most N hashes at once
    identity.password_spelling   one spelling per password
    ops.admin                    admin classes that work across databases
    testing                      fakes, fixtures and servers for module authors

Internal. Each package imports only packages below it in this list (`importlinter.ini` enforces it):

    admin, apps, management, migrations, models, settings, urls, wsgi   what Django looks for, and nothing else
    testing          pytest's plug-in, fakes and fixtures for the tests of modules
    servers          PostgreSQL, RabbitMQ and Valkey, started for development, tests and measurements
    rendering        every rendered file in one registry
    checks           system checks: what modules declare must fit together
    gateway          routes -> the edge's configuration
    ops              the operators' admin site
    processes        web, relay, worker: how each runs and ends
    pages            the start page, and a page per problem: for people beside the API
    health           readiness, probes, the state of streams
    broker           the Celery app: queues, sending, consuming, permissions
    inbox            cursors, handlers, dead letters, rebuilds
    change_capture   triggers that write changed rows into the outbox, and snapshots
    outbox           streams, publishing, the relay
    api              problem documents, strict bodies, OpenAPI
    identity         tokens, keys, scopes, passwords
    caching          the shared cache, and its outages
    configuration    every environment variable: its declaration, validation, profiles
    credentials      keys, certificates and SPIFFE ids
    databases        aliases, the router, grants, and what differs between PostgreSQL and SQLite
    telemetry        logs and the correlation id
    schemas          JSON Schemas of what modules publish, and whether a changed one still fits
    wire             the types that cross the broker
    messages         the base classes of messages
    modules          which modules are installed
    reloading        files that are read again when they are replaced
    addresses        URLs of servers as typed values, understood or refused by name
    backoff          the pause before the next attempt
    errors, ids      the error tree, and time-ordered identifiers
    text             text from strangers, where it enters and where it is shown
"""
