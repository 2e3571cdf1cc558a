"""Programs of other people read the API documents and use the API by them alone.

The files:

    documents      every document that a client can get, for the programs
    node           the Node programs of package.json, which `make npm` installs
    linting        the linter, with the rules in ruleset.yaml and functions/
    generated      a Python client, generated from the document
    walk           a walk through the shop by that client
    conformance    schemathesis against a served document, and its report
    settings       the settings of the server that it examines
    test_*         what is asked of the documents, by program
"""
