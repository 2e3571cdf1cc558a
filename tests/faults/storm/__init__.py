"""Processes are killed and servers restarted under load; then an independent ledger is compared with the outbox.

servers       a RabbitMQ node and a Valkey of the suite's own, restarted for real
deployment    the landscape's processes on them, and the supervisor that restarts them
troubles      what may happen besides restarts: failed acknowledgements, silence, other settings
schedule      incidents and their times, drawn from a seed
campaign      one run: processes, incidents, healing
books         the ledger beside the outbox, in plain SQL
figures       what a run shows, as a table
"""
