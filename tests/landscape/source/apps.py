"""Registers the module."""

from pangaea.modules import ModuleConfig


class SourceConfig(ModuleConfig):
    """Has no state but its outbox."""

    name = "tests.landscape.source"
