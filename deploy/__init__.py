"""Deployments of Pangaea on this machine.

    __main__     `make split`: everything as one command, until Ctrl-C
    split        one service per module behind Envoy: its settings, its preparation and its programs
    service      the preparation of one service, in a process with its settings
    servers      the servers that it needs: PostgreSQL, RabbitMQ and Redis
    supervisor   programs that are started again when they end
    restart      `make split-restart`: end one of them, so that it is started again
    steps        what is being done, one line per step

certificates.md describes the certificates.
"""

import os

import django

# The kernel's own files read Django's settings when they are imported. A process that has settings keeps them.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pangaea.settings.local")
django.setup()
