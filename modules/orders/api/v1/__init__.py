"""Version 1.

orders    the caller's orders
products  the public catalogue
"""
