"""Modules made for load and faults: one that publishes, and subscribers that count in different ways.

Run them with PANGAEA_MODULES_PACKAGE=tests.landscape; they are Pangaea modules like any other.

source      publishes ticks, in a given number and rate
ledger      records every tick, set-wise: faults are checked against it
balances    a read model, updated set-wise
singles     a read model, updated one message at a time by the ORM
"""
