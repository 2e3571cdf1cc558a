"""The colours of states in a terminal, as `pangaea.health.states` names them."""

from django.core.management.color import Style

from pangaea.health.states import Colour, Shown

STYLES = {Colour.RED: "ERROR", Colour.YELLOW: "WARNING", Colour.GREEN: "SUCCESS"}
"""The roles that Django prints in these colours. Grey is printed like other text."""


def paint(style: Style, shown: Shown) -> str:
    """The state's word in its colour, where the output has colours."""
    role = STYLES.get(shown.colour)
    return str(getattr(style, role)(str(shown))) if role else str(shown)
