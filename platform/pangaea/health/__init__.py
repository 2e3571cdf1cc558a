"""Whether a process is alive and ready, and which conditions need an operator.

    probes             the answers of /livez, /readyz and /startupz
    probe_server       the port at which relays and workers answer probes
    readiness          the checks behind /readyz
    states             the words for states, their meanings and colours
    tables             a module's state as tables, for the CLI and the admin
    stream_status      the state of a module's streams, subscriptions, subscribers and queues
    concerns           conditions that need an operator, for the admin and for `manage.py streams --check`
    missing_processes  which worker or relay that work waits for is not running

Relay and worker are not ready without their broker; the web process keeps serving without it.
"""
