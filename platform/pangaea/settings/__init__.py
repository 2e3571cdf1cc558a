"""The profiles: local, monolith, service, test.

`declared` holds every environment variable, `base` composes Django's settings from them.
"""
