"""Every rendered file that is committed, in one registry: `manage.py render [--check]`.

    registry   the list of renderers; comparing and writing their files
    settings   docs/settings.md and .env.example, from the declared settings
    states     docs/states.md, from the words for states
    openapi    docs/openapi.yaml, from the modules' APIs
    gateway    gateway_conf/envoy.*, from the modules' routes, the template and the topologies

A renderer is a function from the project's folder to texts by path. To add one, list it in the registry.
"""
