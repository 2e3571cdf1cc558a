"""The HTTP API: one package per version, in it one file per route.

The files:

    v1  version 1
"""
