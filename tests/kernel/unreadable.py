"""Bodies that no reader can read, each in its own way."""


def deep(levels: int) -> str:
    """Lists in lists."""
    return "[" * levels + "]" * levels


UNREADABLE = {
    "empty": "",
    "an empty object": "{}",
    "a number": "17",
    "no json": '{"no json": é, [}',
    "another type": '{"id":1,"subject":2,"type":3}',
    "NUL": '{"subject":"\\u0000"}',
    "half of a surrogate pair": '{"data":{"text":"\\ud800"}}',
    "deep": deep(100_000),
    "almost too deep": f'{{"data":{deep(960)}}}',
    "an end that is not its own": "]}",
}
