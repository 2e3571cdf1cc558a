"""The processes of a deployment: how each runs, and how it shuts down.

    web           gunicorn and its worker (a package)
    relay         one thread per module, in `manage.py relay` or in runserver
    worker        Celery's worker, in `manage.py worker` or as a thread in runserver
    signals       SIGTERM and SIGINT, and the time left after one
    maintenance   the background tasks of relay and worker: answer probes, declare queues, report cursors

In the local profile `manage.py runserver` runs all three in one process.
"""
