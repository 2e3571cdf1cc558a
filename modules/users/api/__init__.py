"""HTTP: the versions of the API, and the public keys, which have no version."""
