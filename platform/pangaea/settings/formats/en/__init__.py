"""The formats of English.

    formats  how dates and times are written

Django looks for a module of this name.
"""
