"""Messages that could not be applied. One stops its own key and nothing else; redrive keeps the key's order.

An operator selects letters and redrives or discards them; the worker's timer retries those that are due.

    parking     a message is parked with why it failed, or behind an earlier one of its key; the pause before a retry
    key_queue   the parked messages of one key on one stream, of which only the lowest is attempted
    selection   which parked messages an operator means
    redrive     parked messages are attempted again: the loop that operators, retries and tests share
    discarding  parked messages that will never be applied: recorded with the reason, deleted from the records when old
    timer       what a worker does once per second: retries that are due, and discarded letters that are old
"""
