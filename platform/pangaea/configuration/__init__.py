"""Every environment variable: declared once, read, validated, and composed into profiles. Names no module.

    declared     the list: every setting with its type, default, validator and why
    validators   the rules for the text of a setting
    characters   what the text of no setting has: quotation marks around it, invisible characters
    values       text -> value and back, by type; durations with units; redaction
    environment  the sources of a setting's text: the module's variable, the shared one, a file, the profile
    safety       contradictions between settings, and combinations that are unsafe in a deployment
    transport    URLs that reach other hosts without verified TLS
    generated    the keys that the local profile generates
    profiles     local, monolith, service, test: the requirements and defaults of each
    reading      a profile's configuration, read from an environment: values, sources, every problem at once

Begin with `declared`: a new setting is an entry there.
"""
