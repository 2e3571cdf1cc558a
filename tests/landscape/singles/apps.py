"""Registers the module."""

from pangaea.modules import ModuleConfig


class SinglesConfig(ModuleConfig):
    """Subscribes to source."""

    name = "tests.landscape.singles"
    subscriptions = ("tests.landscape.singles.handlers.ticks",)
