"""One alias per module, over PostgreSQL or SQLite.

The kernel's tables exist at each alias, so every query of these tables names an alias.

    aliases           an alias's schemas, and the apps whose tables it has
    entries           URL -> an alias's entry in Django's DATABASES
    router            Django's database router: every model belongs to the alias of its app
    engines           the differences between PostgreSQL and SQLite
    grants            the rights of the modules in PostgreSQL
    errors            the meaning of a database's errors: one table of classes, for messages and for HTTP
    outages           the outages of a database, logged once each
    rows              model instances from hand-written SQL
    idle              connections that the server may have ended while they were idle
    migration_state   whether a database has the migrations that this code was written for
    sequences         sequences behind their tables: named, and advanced by `migrate`
    versions          rows whose version the database raises with every change
    transactions      the transactions that have been open for long
"""
