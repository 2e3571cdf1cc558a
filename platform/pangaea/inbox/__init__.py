"""What a module subscribes to: its cursors, and how a batch becomes effects once and in order (ADR 0001).

`consume` reads top to bottom in the order of the ADR, and calls the other files.

    subscriptions   PUBLIC  Projection and Reaction: named sets of handlers
    consume         a batch becomes effects: cursor check, handlers, moving the cursor, in one transaction
    delivery        a batch on its way to one subscription, as a whole, in halves, one by one
    batches         a batch decoded: its messages at their positions, of which some may be unreadable
    cursor          how far a subscription has read a stream: judges batches, advances, stops, requests missed messages
    handling        calls the handlers of messages
    retrying        work on the module's database, retried while its errors are transient
    attempts        recorded before handlers run, so that a message that crashes its process is found
    in_flight       which messages a worker's handler is working on, for its parent process
    dead_letters    messages that could not be applied: parked in order, redriven, discarded
    rebuild         a projection replayed: its rows replaced, or compared
    resuming        an operator resumes a stopped subscription, or deletes the cursors of an undeclared one
    reports         how far the subscriptions have read, for the producers
    models          the tables; stream_key is the key that they share
    stream_key      which subscription reads which stream
"""
