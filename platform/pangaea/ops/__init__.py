"""Operations: the staff accounts and the admin site they work in. Public for modules: admin.

The files:

    admin         ModuleAdmin and ReadOnlyAdmin, which modules register their models with; the pages of operations
    api_calls     the pages of the API's calls, per version and caller
    columns       columns that show values as people write them: money, names that lead to a page
    figures       the numbers on the first page, which admin classes contribute
    apps          registers operations with Django
    dead_letters  the pages of parked messages
    log_in        the operators' log-in, counted and slowed down
    models        Operator, who may log in to the admin. Customers are the users module's own accounts
    navigation    the sidebar and the first page, derived from the installed modules
    permissions   what operators may do with the models of every module
    sessions      the operators' sessions while the database cannot save them
    stream_pages  the page of streams, and the page on which an operator resumes a stopped subscription
    tables        tables of states, in the form that the pages show

Its tables live in the database alias `default`, which reaches no module's schema.
"""
