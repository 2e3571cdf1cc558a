"""A projection is replayed from the beginning of its streams, to replace its rows or to compare them.

The shadow is filled while the live tables are read and written; one transaction replaces them.

    replay      one replay: fills a shadow, then replaces the live tables or compares them
    cut_over    the cut-over: equal, locked cursors of shadow and live projection, under which a replay ends
    shadows     the shadow's tables, and a thread's connection into them
    rows        rows counted and replaced, in SQL
    comparison  rows that differ
    ownership   which projection owns which tables
"""
