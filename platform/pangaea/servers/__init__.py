"""PostgreSQL, RabbitMQ and Valkey, started or prepared for development, tests and measurements.

    postgresql  a PostgreSQL server with temporary data, from a wheel
    rabbitmq    a virtual host on a RabbitMQ server that runs already, and one user per module in it
    valkey      a Valkey server with temporary data, from a wheel
    waiting     waits on conditions, and free ports
    errors      the error of an unavailable server

Only development, tests and measurements import it: a deployment has servers of its own.
"""
