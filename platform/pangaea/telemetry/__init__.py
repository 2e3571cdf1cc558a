"""The logs of a process, and the states of its components.

    logs          log lines of structlog and of the standard library, rendered alike
    correlation   the id that follows one request through messages into other modules' handlers
    access_log    one line per HTTP request
    components    the components of a relay or worker, and the state that each reports

It imports no other file of the kernel except `ids` and `text`.
"""
