"""What a module hears.

models          cursors, dead letters, attempts
subscriptions   Projection and Reaction: named sets of handlers
consume         a batch becomes effects, once, in order
catch_up        asking for what was missed
attempts        what was begun, so that a process that ended in the middle is known
in_flight       which messages a worker's handler is working on, for its parent process
dead_letters    messages that could not be applied: parked in order, tried again, discarded
retries         trying again by itself, when it is due
selection       which parked messages an operator means
resuming        what to do about a subscription that has stopped, and where an operator lets it go on
rebuild         a projection made anew, in a shadow (shadows, homes), and put in the old one's place (rows)
comparison      what is wrong in a projection
ownership       which tables are whose
"""
