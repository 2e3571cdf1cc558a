"""OpenAPI 3.1: one document of all modules, and one per module, which is the same wherever the module runs.

The files:

    auto_schema       operations and components, from views and serializers
    describers        what each mechanism of the API adds to an operation
    document          the documents, built and served
    every_operation   what every operation has in common: its headers and its problems
    examples          an example for every request, answer and parameter
    problems          problem documents: their schema, and the responses that have them
    sharing           parts that occur often, moved into components
    strict            what spectacular leaves out, so that the document is as strict as the server
"""
