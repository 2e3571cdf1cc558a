"""Whether a changed schema still fits those who were written for the old one: one engine, with a direction.

A writer's values must be what the reader accepts: `writer ⊆ reader`. A change that narrows breaks the writers of what
the changed side reads (a request, a command); a change that widens breaks the readers of what it writes (an answer, an
event).

The files:

    comparing      `compare(old, new, direction=…)`: the walk through both schemas
    findings       the direction, and what a comparison finds
    walk           the state of a comparison, and what its parts use of it
    shapes         what a schema accepts: types, values, members
    normal         schemas in the form that is compared: references followed, `allOf` merged
    scalars        types, values, formats and limits
    objects        members of objects
    arrays         items of arrays
    conditions     keywords that are compared as a whole: `not`, `if`, `contains` and others
    alternatives   `oneOf`, `anyOf`, and `null` among them

What is promised: where nothing is found, no value that a writer may write by its schema is refused by the reader's. Not
promised: that a finding breaks a client, because some pairs of schemas cannot be decided; such findings are warnings.

Readers of answers and events are tolerant: they ignore members that they do not know, also where their schema closes
the object, so an answer may gain members. They do not tolerate a value that an enumeration lacks. Writers write only
members that their schema names.
"""
