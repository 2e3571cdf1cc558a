"""JSON Schemas (draft 2020-12, the dialect of OpenAPI 3.1) of what the modules publish.

The files:

    compatibility   whether a changed schema still fits those who were written for the old one
"""
