"""Version 1.

The files:

    pages   the home page, the orders, and the checkout
"""
