"""Modules made for load and faults: one that speaks, and subscribers that count in different ways.

Run them with PANGAEA_MODULES_PACKAGE=tests.landscape; they are Pangaea modules like any other.

source      says ticks, as many and as fast as it is told
ledger      writes down every tick, set-wise: what faults are checked against
balances    a read model, updated set-wise
singles     a read model, updated one message at a time by the ORM
"""
