"""Version 1.

pages   the home page, the orders, and the checkout
"""
