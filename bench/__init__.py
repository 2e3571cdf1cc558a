"""Measures what the streams carry, beside a pipeline written by hand, in one run on one machine: `make bench`.

servers   the PostgreSQL: durable, except under --volatile
stage     a database, a virtual host, and the processes
limit     the pipeline by hand: psycopg and py-amqp alone
drain     how fast a backlog is applied
latency   how long a single message takes
growth    memory over a million messages; a long stream against an empty one
publish   what publishing adds to an insert
writers   how much many concurrent writers publish

Compare ratios, not figures: the machines that run this are noisy.
"""
