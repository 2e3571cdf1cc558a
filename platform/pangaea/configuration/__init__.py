"""Every environment variable: declared once, read, validated, and composed into profiles. Names no module.

    declared     the list: every setting with its type, default, validator and why
    validators   what the text of a setting must look like
    values       text -> value and back, by type; durations with units; redaction
    environment  where a setting's text comes from: the module's variable, the shared one, a file, the profile
    safety       contradictions between settings, and what no deployment may have
    transport    URLs that reach other hosts without verified TLS
    generated    the keys that the local profile generates
    profiles     local, monolith, service, test: what each requires, sets and refuses
    reading      the configuration that an environment gives a profile: values, sources, every problem at once

`declared` is where to begin: a new setting is an entry there.
"""
