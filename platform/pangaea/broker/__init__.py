"""The Celery app over RabbitMQ or Redis, and what it needs of either."""
