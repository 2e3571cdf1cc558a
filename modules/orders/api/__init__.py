"""The HTTP API: one package per version, in it one file per route, and what the versions share.

The files:

    fields      fields of answers, the same in every version
    lists       filters and orderings, which all versions have
    new_order   the body of a request to place an order
    v1          version 1
    v2          version 2 of the orders
"""
