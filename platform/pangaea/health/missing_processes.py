"""Which worker or relay that work waits for is not running, and the command that starts it.

RabbitMQ knows a queue's consumers and PostgreSQL the leading relay. Where neither can be asked, the text is a question.
"""

from collections.abc import Iterable

from django.conf import settings
from django.db import Error, connections
from kombu.exceptions import OperationalError

from pangaea import modules
from pangaea.broker import celery_app, queue_status
from pangaea.databases import engines
from pangaea.errors import Misconfigured, first_line

IN_PROCESS = "Relay and worker are inside `manage.py runserver`: is it running?"
"""The advice in the local profile, whose processes know nothing of each other."""


def for_replay(module: str, sources: Iterable[str]) -> str:
    """What may be missing while a subscription of `module` takes nothing of what its sources published."""
    if _is_in_process():
        return IN_PROCESS
    worker, relays = _worker(module), [*filter(None, map(_relay, sorted(sources)))]
    if not worker and not relays:
        return f"A worker of {module} and the relays that it needs are running."
    return " ".join([worker or f"A worker of {module} is connected.", *relays])


def for_worker(module: str) -> str:
    """What may be missing while work waits for a worker of `module`; empty if one is running."""
    return IN_PROCESS if _is_in_process() else _worker(module)


def for_relay(module: str) -> str:
    """What may be missing while messages wait for a relay of `module`; empty if one is running."""
    return IN_PROCESS if _is_in_process() else _relay(module)


def _is_in_process() -> bool:
    return str(settings.PANGAEA.broker_url).startswith("memory")


def _worker(module: str) -> str:
    try:
        found = [each for each in queue_status.read(celery_app.app(), [module]) if not each.is_left_over]
    except OperationalError as error:
        return f"The broker does not answer ({first_line(error)})."
    if idle := [queue.name for queue in found if queue.consumers == 0]:
        return f"No worker consumes {', '.join(idle)}: start one with `manage.py worker --module {module}`."
    if all(queue.consumers for queue in found):
        return ""
    return f"Is a worker running? `manage.py worker --module {module}` starts one."


def _relay(module: str) -> str:
    command = f"`manage.py relay --module {module}`"
    if module not in modules.labels() or connections[module].vendor != "postgresql":
        return f"Is a relay of {module} running? {command} starts one, where {module} is deployed."
    session = engines.of(module).relay_session(module)
    try:
        leader = session.election.leader()
    except (Error, Misconfigured) as error:
        return f"The relay of {module} cannot be looked for ({first_line(error)})."
    finally:
        session.close()
    return "" if leader else f"No relay of {module} is running: start one with {command}."
