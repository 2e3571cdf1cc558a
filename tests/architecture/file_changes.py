"""How often the reader of a call changes the file: the kernel's files, in the order in which some work enters them.

What is counted: `sys.setprofile` reports every call of a Python function, a generator that goes on among them, in the
thread that does the work. Of those, those whose code is in a file of the kernel are kept, lambdas, properties and
class bodies included; calls into Django, drivers, the standard library, the tests and C are left out, and so are
returns. One change is two kept calls in a row whose files differ. So a helper in another file that is called for each
message counts twice for each, there and back, if its caller calls anything of its own in between; a helper that is
called once for the batch counts once or twice. Nothing is collapsed and nothing sampled: the same batch gives the same
number each time.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import pangaea

KERNEL = Path(pangaea.__file__).parent


@dataclass(frozen=True)
class Walk:
    """The functions of the kernel that a piece of work called, in order: file below the kernel, and name."""

    calls: list[tuple[str, str]]

    @property
    def files(self) -> list[str]:
        """The files entered, in order; calls within one file count once."""
        return [file for file, _ in groupby(file for file, _ in self.calls)]

    @property
    def changes(self) -> int:
        """How often the file changes."""
        return len(self.files) - 1

    def __str__(self) -> str:
        steps = [
            f"{file:<34} {' '.join(name for _, name in calls)}"
            for file, calls in groupby(self.calls, key=lambda call: call[0])
        ]
        return "\n".join([*steps, f"{self.changes} changes of the file, {len(set(self.files))} files"])


def walk(work: Callable[[], Any]) -> Walk:
    """Do the work, and note what it calls."""
    calls: list[tuple[str, str]] = []
    prefix = f"{KERNEL}/"

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(prefix):
            calls.append((code.co_filename.removeprefix(prefix), code.co_name))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return Walk(calls)
