"""Processes are killed and servers restarted under load; then an independent ledger shows what became of each message.

servers       a RabbitMQ node and a Valkey of the suite's own, restarted for real
deployment    the landscape's processes on them, and the crew that restarts those that ended
troubles      what may happen besides restarts: failed acknowledgements, silence, other settings
weather       what goes wrong and when, drawn from a seed
campaign      one run: processes, weather, healing
books         the ledger beside the outbox, in plain SQL
figures       what a run shows, as a table
"""
