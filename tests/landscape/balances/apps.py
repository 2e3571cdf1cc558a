"""Registers the module."""

from pangaea.modules import ModuleConfig


class BalancesConfig(ModuleConfig):
    """Subscribes to source."""

    name = "tests.landscape.balances"
    subscriptions = ("tests.landscape.balances.handlers.ticks",)
