"""Registers the module."""

from pangaea.modules import ModuleConfig


class LedgerConfig(ModuleConfig):
    """Subscribes to source."""

    name = "tests.landscape.ledger"
    subscriptions = ("tests.landscape.ledger.handlers.ticks",)
