"""Tables of states for unfold: a row of totals, which opens to one row per partition."""

from collections.abc import Iterable
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from pangaea.health.states import Colour, Shown, State
from pangaea.health.stream_status import ModuleStatus
from pangaea.health.tables import Cell, Table

VARIANTS = {Colour.RED: "danger", Colour.YELLOW: "warning", Colour.GREEN: "success", Colour.GREY: "default"}
"""The names of the colours in unfold."""


def of(table: Table) -> dict[str, Any]:
    """A table in unfold's format."""
    rows: list[Any] = [[_cell(each) for each in row] for row in table.rows]
    if table.parts:
        rows = [{"cols": row, "table": of(part)} for row, part in zip(rows, table.parts, strict=True)]
    return {"headers": [each.capitalize() for each in table.headers], "collapsible": True, "rows": rows}


def label(shown: Shown | State) -> SafeString:
    """A state's word in its colour, with its meaning as a tooltip."""
    now = Shown(shown) if isinstance(shown, State) else shown
    context = {"text": now.state.word, "variant": VARIANTS[now.colour], "label_title": now.state.meaning}
    return render_to_string("unfold/helpers/label.html", context)


def legend(states: Iterable[State]) -> list[tuple[SafeString, str]]:
    """Each state with its meaning."""
    return [(label(each), each.meaning) for each in states]


def of_resumptions(status: ModuleStatus) -> dict[str, Any]:
    """One row per decision of an operator about a stream on which a subscription had stopped."""
    return {
        "headers": [
            "Subscription",
            "Stream",
            "Decision",
            "From",
            "To",
            "Skipped",
            "Repeated",
            "Discarded",
            "By",
            "When",
            "Reason",
        ],
        "rows": [
            [
                each.subscription,
                f"{each.source}.{each.audience}.{each.partition}",
                each.how,
                each.from_position,
                "" if each.to_position is None else each.to_position,
                each.skipped,
                each.repeated,
                each.discarded,
                each.decided_by,
                each.decided_at,
                each.reason,
            ]
            for each in status.resumptions
        ],
    }


def _cell(value: Cell) -> str | int | SafeString:
    return label(value) if isinstance(value, Shown) else value
