"""The web process: gunicorn, and a worker of it in which no client holds a thread."""
