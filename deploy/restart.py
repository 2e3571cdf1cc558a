"""`make split-restart NAME=orders.web`: ask a program of a running `make split` to end, so that it is started again.

`NAME=orders` restarts all processes of a module. Without a NAME the programs are listed.
"""

import argparse
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

STATE = Path(__file__).resolve().parent.parent / ".local" / "split"


def running(state: Path) -> dict[str, int]:
    """The process ids of the programs, by name. A file without its process, which a killed run leaves, is ignored."""
    found = {}
    for file in sorted((state / "pids").glob("*")):
        # A program that ends meanwhile removes its file.
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            pid = int(file.read_text())
            os.kill(pid, 0)
            found[file.name] = pid
    return found


def main() -> int:
    """Signal the named programs, or list all."""
    parser = argparse.ArgumentParser(prog="make split-restart", description=__doc__)
    parser.add_argument("name", nargs="?", default="", help="orders.web, or orders for all processes of the module")
    parser.add_argument("--state", type=Path, default=STATE, help="the folder of that run (default: .local/split)")
    given = parser.parse_args()
    found = running(given.state)
    chosen = {name: pid for name, pid in found.items() if given.name in {name, name.partition(".")[0]}}
    if not found:
        sys.exit(f"No process of `make split` runs in {given.state}.")
    if not chosen:
        listed = "\n".join(f"  {name}  process {pid}" for name, pid in found.items())
        absent = f"{given.name} does not run; one that failed is started again in seconds.\n" if given.name else ""
        sys.exit(f"{absent}Name one of these, or a module: make split-restart NAME=orders.web\n{listed}")
    for name, pid in chosen.items():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        print(f"{name} (process {pid}) is asked to end, and started again.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
