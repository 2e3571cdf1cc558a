"""The processes of a deployment: how each runs, and how it shuts down.

    web           gunicorn and its worker (a package)
    relay         one thread per module, in `manage.py relay` and in runserver
    worker        Celery's worker, in `manage.py worker`, or as a thread in runserver
    signals       SIGTERM and SIGINT, and the time left after one
    maintenance   what relay and worker do beside their work: probes, declaring queues, reporting cursors

A process of the local profile, `manage.py runserver`, has all three in one.
"""
