"""Certificates, keys and the names of services. The code reads files at most; it needs no settings and no database.

The files:

    certificates   a development authority, and certificates with the services' names
    keys           ES256 keys, read from text and files
    mutual_tls     connections on which both sides show a certificate, read again when it changes
    spiffe         the names of services in certificates
"""
