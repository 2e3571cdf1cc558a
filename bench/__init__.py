"""Measures the throughput of the streams beside a pipeline written by hand, in one run on one machine: `make bench`.

servers   the PostgreSQL: durable, except under --volatile
stage     a database, a virtual host, and the processes
limit     the pipeline by hand: psycopg and py-amqp alone
drain     how fast a backlog is applied
latency   the time from a message's writer to its application
growth    memory over a million messages; a long stream against an empty one
publish   the cost of publishing in the transaction of an insert
writers   the throughput of many concurrent writers

Compare ratios, not figures: the machines that run this are noisy.
"""
