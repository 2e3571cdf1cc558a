"""Certificates, keys and the names of services: pure, or bound to files alone.

The files:

    certificates   a development authority, and certificates with the services' names
    keys           ES256 keys, read from text and files
    mutual_tls     connections on which both sides show a certificate, read again when it changes
    spiffe         the names by which services know each other
"""
