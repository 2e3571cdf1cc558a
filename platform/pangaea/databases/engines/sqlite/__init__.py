"""SQLite: one process, one writer at a time, one file per module.

ENGINE in Django's DATABASES names this package.

    base            Django's backend of that name, extended by a fair lock per file
    engine          the engine
    entry           a module's entry in Django's DATABASES
    fair_lock       lets the threads of a process write in turn
    held_names      names that one thread holds at a time
    relay_session   the only relay leads; an event in this process wakes it
"""
