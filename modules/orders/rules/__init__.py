"""Pure rules: no database, no HTTP, no clock.

The files:

    lifecycle   the states of an order and the transitions between them
    pricing     the limits of an order, its lines and their total
"""
