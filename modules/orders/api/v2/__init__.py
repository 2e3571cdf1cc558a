"""Version 2: orders with their version, a snapshot of each product, and links. Products did not change: they are in v1.

The files:

    orders  the caller's orders
"""
