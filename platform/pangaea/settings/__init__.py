"""The settings modules that Django loads, and nothing else: one per profile.

    local      one process on a laptop
    monolith   all modules in one deployment
    service    one module, or a few, as a deployment of their own
    test       the suite's
    django     Django's settings, composed from a profile's configuration
    http       those of requests and responses: middleware, DRF, API documents, logging
    operators  those of the admin's look

What differs between the profiles is in `pangaea.configuration.profiles`.
"""
