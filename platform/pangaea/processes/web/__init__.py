"""The web process: gunicorn, with its own worker class, in which no client blocks a thread.

    server               gunicorn's configuration, and its start
    local_server         the same worker for `runserver`
    gathering_worker     gathers requests until they are complete, sends answers, enforces every deadline
    draining             how the worker shuts down
    client_connections   a client's connection, on which no read and no write blocks
    request_buffer       a client's unread bytes, and whether the next request is complete
    request_checks       what is checked and rewritten after gunicorn's parser, as by the gateway
    chunked_bodies       where a chunked body ends
    refused_requests     the answers to requests that never reach Django

ADR 0031 gives the reasons for this worker class.
"""
