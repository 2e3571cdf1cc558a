"""How the pages of operators write dates and times.

    en  the formats of the only language

Django looks for a package of the language's name.
"""
