"""Version 1.

The files:

    accounts  registration
    fields    fields that several routes share
    me        the caller's account
    tokens    log-in and its refresh
"""
