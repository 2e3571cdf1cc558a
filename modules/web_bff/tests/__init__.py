"""The module from outside: messages in, pages out."""
