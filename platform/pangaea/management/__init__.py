"""The kernel's commands, and the parts that several of them share.

    colours     the colours of states in a terminal
    not_now     one line for a command that a server does not serve at the moment
    placement   an app whose tables are in another database than `--database`
    progress    a progress display for long commands
    replaying   `rebuild` and `reconcile`: filling a projection's shadow
    resuming    `streams resume` and `streams forget`
    unapplied   a warning about unapplied migrations of every alias
    welcome     the addresses that are printed at the start

Each command has a file of its name in `commands/`.
"""
