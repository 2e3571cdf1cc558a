"""Message bodies that cannot be read, for different reasons."""

import msgspec


def deep(levels: int) -> str:
    """A list nested this many levels deep."""
    return "[" * levels + "]" * levels


def too_deep() -> int:
    """The first number of levels that msgspec refuses: some 950 on Python 3.11, ten times that on 3.13."""
    least, most = 0, 100_000
    while least + 1 < most:
        levels = (least + most) // 2
        try:
            msgspec.json.decode(deep(levels))
        except RecursionError:
            most = levels
        else:
            least = levels
    return most


UNREADABLE = {
    "empty": "",
    "an empty object": "{}",
    "a number": "17",
    "no json": '{"no json": é, [}',
    "another type": '{"id":1,"subject":2,"type":3}',
    "NUL": '{"subject":"\\u0000"}',
    "half of a surrogate pair": '{"data":{"text":"\\ud800"}}',
    "deep": deep(100_000),
    "almost too deep": f'{{"data":{deep(too_deep())}}}',
    "an end that is not its own": "]}",
}
