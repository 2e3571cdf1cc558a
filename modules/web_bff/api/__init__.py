"""The HTTP interface, one file per version."""
