"""What git knows of released files: the commit that added each, its day and content; and the day to judge by."""

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Addition:
    """The first commit that has a file: its day (UTC), and the id of the content.

    The first commit of a whole history has no day: it may have brought files of another history, which are older.
    """

    day: date | None
    blob: str

    def is_content_of(self, path: Path) -> bool:
        """Whether the file has that content. A file that is missing has not."""
        if not path.is_file():
            return False
        content = path.read_bytes()
        framed = b"blob %d\0" % len(content) + content
        # git names content by SHA-1, in newer repositories by SHA-256.
        sha = hashlib.sha256 if len(self.blob) > len(hashlib.sha1(b"").hexdigest()) else hashlib.sha1  # noqa: S324
        return sha(framed).hexdigest() == self.blob


@dataclass(frozen=True, slots=True)
class History:
    """The history of a project. It is not known in a copy without git, nor of a shallow clone."""

    root: Path
    is_known: bool

    @classmethod
    def of(cls, root: Path) -> "History":
        """The history of the project in that folder."""
        return cls(root, is_known=_git(root, "rev-parse", "--is-shallow-repository") == ["false"])

    def additions(self, folder: Path) -> Mapping[Path, Addition]:
        """The files that were ever added below that folder, by path; nothing where the history is not known."""
        if not self.is_known:
            return {}
        found: dict[Path, Addition] = {}
        day: date | None = None
        # The latest commit comes first, so that the first addition of a path is what remains.
        arguments = ("log", "--diff-filter=A", "--raw", "--no-abbrev", "--no-renames", "--relative", "--format=%ct %P")
        for line in _git(self.root, *arguments, "--", folder.relative_to(self.root).as_posix()):
            if line.startswith(":"):
                meta, _, name = line.partition("\t")
                found[self.root / name] = Addition(day, meta.split()[3])
            elif line:
                stamp, _, parents = line.partition(" ")
                day = datetime.fromtimestamp(int(stamp), UTC).date() if parents else None
        return found

    def day(self) -> date:
        """The day of the last commit; today, where there is none or something is not committed."""
        stamp = _git(self.root, "log", "-1", "--format=%ct")
        if not stamp or _git(self.root, "status", "--porcelain", "--", "."):
            return datetime.now(UTC).date()
        return datetime.fromtimestamp(int(stamp[0]), UTC).date()


def _git(root: Path, *arguments: str) -> Sequence[str]:
    """The lines that git prints; none where it fails or is not installed."""
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are this file's
            ["git", "-C", str(root), *arguments],  # noqa: S607 - git is found on the path
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    return done.stdout.splitlines()
