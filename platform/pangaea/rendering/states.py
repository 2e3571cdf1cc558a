"""docs/states.md: the words for states, from `pangaea.health.states` and from what the probes show."""

from collections.abc import Iterable
from pathlib import Path

from pangaea.health import readiness, states
from pangaea.health.states import ALWAYS, State
from pangaea.telemetry import components

INTRODUCTION = """# States

The words for states, rendered by `manage.py render` from `platform/pangaea/health/states.py`. `manage.py streams`,
`manage.py deadletters` and the admin use these words and colours; in `--json`, in `--state` and in log lines a word has
underscores. **Red waits for a person**, and `manage.py streams --check` names it, with the remedy: at once, or after
the limit in the last column, from when on the state is shown in red. Of several states that apply, the worst is shown;
the rows of these tables are in that order.
"""
PROBES = """
## Processes

`/readyz` and the other probes. A process with a check that is not *ok* gets no requests; `streams --check` does not
name it, because it concerns one process, and the orchestrator acts on it.

| check | meaning |
|---|---|
"""
CHECKS = {
    readiness.OK: "nothing to do",
    readiness.PENDING: "migrations are not applied yet",
    readiness.FAILING: "it does not answer, or lacks what the process needs; the log has the reason",
    readiness.UNKNOWN: "it depends on a check that fails",
    readiness.STOPPING: "the process is shutting down",
}
COMPONENTS = {
    components.State.STARTING: "it has not begun its work",
    components.State.LEADING: "this relay sends its module's messages",
    components.State.STANDING_BY: "another process does the work",
    components.State.CONSUMING: "this worker takes batches from its queues",
    components.State.OVERDUE: "a batch takes longer than `JOB_TIME_LIMIT`",
    components.State.INTERRUPTED: "its database or broker does not answer; it reconnects",
}


def files(root: Path) -> dict[Path, str]:
    """The document."""
    parts = [
        INTRODUCTION,
        _section("Modules", [states.UNREADABLE]),
        _section("Streams of a module", states.STREAMS),
        _section("Subscriptions, and their cursors", states.SUBSCRIPTIONS),
        _section("Parked messages", states.LETTERS),
        _section("Queues", states.QUEUES),
        PROBES,
        *(f"| {word} | {meaning} |\n" for word, meaning in CHECKS.items()),
        "\n| component of a relay or worker | meaning |\n|---|---|\n",
        *(f"| {state.value} | {meaning} |\n" for state, meaning in COMPONENTS.items()),
    ]
    return {root / "docs" / "states.md": "".join(parts)}


def _section(title: str, found: Iterable[State]) -> str:
    rows = [f"| {each.word} | {each.meaning} | {each.colour.value} | {_person(each)} |\n" for each in found]
    return f"\n## {title}\n\n| word | meaning | colour | waits for a person |\n|---|---|---|---|\n{''.join(rows)}"


def _person(state: State) -> str:
    if state.needs_person in {"", ALWAYS}:
        return "at once" if state.needs_person else "no"
    limits = state.needs_person.split(", ")
    return f"after {' or '.join(f'`{each}`' for each in limits)}"
