"""Version 1.

The files:

    orders    the caller's orders
    products  the public catalogue
"""
