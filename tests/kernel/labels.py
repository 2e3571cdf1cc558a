"""The labels that a page of the admin shows: words in colours."""

import re

from pangaea.health.states import Colour

PAINTS = {"red": Colour.RED, "orange": Colour.YELLOW, "green": Colour.GREEN}
"""The names of the colours in the pages' style sheet."""


def labels(page: str) -> set[tuple[str, Colour]]:
    """The words and colours of a page's labels."""
    found = re.findall(r'<span class="inline-block [^"]*?bg-(\w+)-[^"]*"[^>]*>\s*([^<]+?)\s*</span>', page)
    return {(word, PAINTS.get(paint, Colour.GREY)) for paint, word in found}
