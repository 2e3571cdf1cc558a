"""The kernel of Pangaea: everything a module stands on, and no module's name.

Public, for modules:

    modules      what a module declares: ModuleConfig, Route
    messages     Event, Command, Received, Money: the published language's grammar
    outbox       publish(message, key=...): say it in the transaction that made it true
    outbox.change_capture   Capture, money, enum: changed rows say it themselves
    inbox        subscriptions: Projection and Reaction, and the handlers that belong to them
    errors       the error tree; stable codes, no HTTP
    api          problem documents, strict bodies, pagination
    identity     who is calling and what they may do
    ops.admin    admin classes that work across databases
    ids          time-ordered identifiers
    telemetry    the correlation id of the request at hand
    testing      fakes, fixtures and servers for module authors

Internal, for the processes that carry the messages:

    settings     the profiles, and every environment variable with its default and why
    databases    URL -> alias, schema, role; the router
    database_errors   what an error of a database means: not now, or never
    migration_state   whether a database has the migrations of this code
    engines      what differs between PostgreSQL and SQLite
    sessions, relay_sessions   PostgreSQL sessions of one's own; the relay's lead, and what wakes it
    notifier     wakes relays after a commit
    publisher_confirms   publish many messages, then wait until RabbitMQ has them all
    broker_rights, database_rights   the modules' declarations -> who may do what at RabbitMQ and PostgreSQL
    broker_management   RabbitMQ's management API, for its administrator
    bus          the Celery app: its tasks, sending
    broker_tls   verified TLS to the broker
    admission, redis_transport   which messages of the broker are let in; on Redis, first what has a message's form
    topology, redis_queues   the exchange, the modules' queues and bindings: declared, bounded, removed
    broker_queues   what waits in the modules' queues, and whether a worker consumes them
    health       livez, readyz
    replaced_files   files that are replaced while others read them
    web_server   gunicorn, over mutual TLS where there are certificates
    web_worker, draining   its worker: gathers requests without a thread; how it ends
    client_connections, request_buffer, refused_requests   a client's connection, what it has sent, what it is refused
    gateway      the modules' routes -> the edge's configuration
"""
