"""The bus: a Celery app over RabbitMQ or Redis.

    celery_app           the app: its configuration and its three tasks
    topology             the exchange, the modules' queues and their bindings
    redis_queues         the limits and expiry of queues that Redis lacks
    sending              sends batches, catch-up requests and reports to the broker
    errors               the errors of both brokers as one
    publisher_confirms   RabbitMQ's confirms, for many messages at once
    consumer             Celery's consumer, with checks of messages and queues, reconnection and shutdown
    retry_timer          the worker's timer for parked messages
    admission            which messages are accepted, and from which login
    redis_transport      kombu's Redis transport, with every entry checked before kombu parses it
    tls                  verified TLS to the broker
    permissions          one RabbitMQ user per module, with its rights
    present_permissions  what RabbitMQ has, compared with that
    management_api       RabbitMQ's management API, for administrators
    queue_status         the length and the consumers of the modules' queues

A batch in a queue may be lost: subscribers find the gap and request it (ADR 0019). The parts of Celery that are used,
and those that are switched off, are in ADR 0034.
"""
