"""Messages that could not be applied. One stops its own key and nothing else; redrive keeps the key's order.

An operator selects letters and redrives or discards them; the worker's timer retries the letters that are due.

    parking     a message is parked with its failure, or behind an earlier one of its key; the pause before a retry
    key_queue   the parked messages of one key on one stream, of which only the lowest is attempted
    selection   which parked messages an operator means
    redrive     parked messages are attempted again: the loop that operators, retries and tests share
    discarding  parked messages that will never be applied: recorded with the reason; old records are deleted
    display     a parked message as a person reads it
    timer       a worker's round: retries that are due, and deletion of old records
"""
