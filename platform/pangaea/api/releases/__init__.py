"""Released API documents: frozen in their module's folder, and what a change to the API may not do to them.

The files:

    checking     `openapi check` and `openapi release` for one module
    operations   what breaks clients between two documents
    lifecycle    how long clients are given: deprecation, sunset
    slices       a module's document, in one part per version
    files        the released files, and their sums
    history      what git knows of them
    exceptions   breaks that a module accepts until its next release
"""
