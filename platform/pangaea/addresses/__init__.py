"""The addresses of servers: a URL as a typed value. Connections are made from the value and never from the text.

Every part of a URL is understood, by one list of what is allowed per scheme, or refused by its name. So what
`config check` accepts can connect, and no library gives a part of the text another meaning.

    url          the parts of any URL, decoded
    postgresql   a database: its hosts, its login, and the name of a module's role in it
    parameters   libpq's parameters that a URL may have, each with its values
    options      the settings that a session of PostgreSQL begins with
    sqlite       a file
    broker       RabbitMQ, Redis, or the bus inside a process
    cache        a Redis server
    http         a document or an API: the keys of another service, a broker's management

Each parser raises Misconfigured. Its message completes a sentence that begins with the name of the variable, and quotes
no part of a login or a password.
"""
