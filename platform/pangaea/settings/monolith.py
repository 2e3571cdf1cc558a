"""All modules in one deployment: PostgreSQL, RabbitMQ or Redis; web, relay and worker are separate processes."""

from pangaea.settings.django import compose

globals().update(compose("monolith"))
