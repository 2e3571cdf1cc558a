"""PostgreSQL, RabbitMQ and Valkey, started or prepared for development, tests and measurements."""
