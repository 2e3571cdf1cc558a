"""The figures of a run, as a table for the documents."""

from collections.abc import Sequence

Row = tuple[str, str | int]


def table(title: str, rows: Sequence[Row]) -> str:
    """A Markdown table of two columns."""
    left = max(len(title), *(len(name) for name, _ in rows))
    right = max(len(f"{value}") for _, value in rows)
    lines = [(title, ""), ("-" * left, "-" * (right - 1) + ":"), *rows]
    return "\n".join(f"| {name:<{left}} | {value!s:>{right}} |" for name, value in lines)
