"""Pure rules: no database, no HTTP, no clock.

The files:

    emails          one spelling per mailbox
    passwords       what a password must be; hashing
    refresh_tokens  the secret that a client keeps
"""
