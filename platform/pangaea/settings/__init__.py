"""The settings modules that Django loads, and nothing else: one per profile.

    local      one process on a laptop
    monolith   all modules in one deployment
    service    one module, or a few, as a deployment of their own
    test       the test suite
    django     Django's settings, composed from a profile's configuration
    http       the settings of requests and responses: middleware, DRF, API documents, logging
    formats    how the admin writes dates and times
    operators  the settings of the admin's appearance

What differs between the profiles is in `pangaea.configuration.profiles`.
"""
