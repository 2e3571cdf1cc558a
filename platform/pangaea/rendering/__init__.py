"""Every rendered file that is committed, in one registry: `manage.py render [--check]`.

    registry   the renderers, and what is done with their files: write, compare
    settings   docs/settings.md and .env.example, from the declared settings
    openapi    docs/openapi.yaml, from the modules' APIs
    gateway    gateway_conf/envoy.*, from the modules' routes, the template and the topologies

A renderer is a function from the project's folder to texts by path; to add one, add it to the registry.
"""
