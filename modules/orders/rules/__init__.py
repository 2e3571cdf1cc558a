"""Pure rules: no database, no HTTP, no clock.

The files:

    lifecycle   the states of an order and the transitions between them
    pricing     what an order may ask for, its lines and their total
"""
