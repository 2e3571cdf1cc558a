"""Registers the module."""

from pangaea.modules import ModuleConfig


class SinglesConfig(ModuleConfig):
    """Listens to source."""

    name = "tests.landscape.singles"
    subscriptions = ("tests.landscape.singles.handlers.ticks",)
