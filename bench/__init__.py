"""Measures what the streams carry, beside a pipeline written by hand, in one run on one machine: `make bench`.

servers   the PostgreSQL: durable, unless --volatile says otherwise
stage     a database, a virtual host, and the processes
limit     the pipeline by hand: psycopg and py-amqp, nothing between
drain     how fast a backlog is applied
latency   how long a single message takes
growth    memory over a million messages; a long stream against an empty one
publish   what publishing adds to an insert
writers   what many writers reach that publish at once

Ratios count, not figures: the machines that run this are noisy.
"""
