"""Operations: the staff accounts and the admin site they work in.

    models       Operator, who may sign in to the admin. Customers are the users module's own accounts
    permissions  what operators may do with the models of every module
    admin        ModuleAdmin and ReadOnlyAdmin, which modules register their models with; the pages of operations
    stream_pages the page of streams, and where an operator lets a stopped subscription go on
    streams      what every module's streams and cursors say
    transactions transactions that are open for long in the modules' databases
    concerns     what waits for a person: one list for the admin and for `manage.py streams --check`
    tables       the same, as the page shows it
    navigation   the sidebar and the first page, derived from what is installed

Its tables live in the database alias `default`, which reaches no module's schema.
"""
