"""Pure rules: no database, no HTTP, no clock.

lifecycle   the states of an order and the transitions between them
pricing     what an order may ask for, its lines and their total
"""
