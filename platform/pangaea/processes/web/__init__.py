"""The web process: gunicorn, and a worker of it in which no client blocks a thread.

    server               gunicorn's configuration, and its start
    gathering_worker     gathers requests until they are complete, sends answers, enforces every deadline
    draining             how the worker shuts down
    client_connections   a client's connection, on which no read and no write blocks
    request_buffer       the bytes of a client, and whether the next request is complete
    refused_requests     the answers to requests that never reach Django

ADR 0031 gives the reasons for a worker of our own.
"""
