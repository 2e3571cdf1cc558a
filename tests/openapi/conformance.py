"""schemathesis' program against a served document, and what it reports."""

import base64
import binascii
import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from tests.openapi.node import FOLDER

CONFIGURATION = FOLDER / "schemathesis.toml"


@dataclass(frozen=True)
class Failure:
    """A request whose answer a check refused. `codes`: the answer's problem code, or those of its `errors`."""

    check: str
    operation: str
    status: int
    codes: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.check}: {self.operation}: {self.status} {', '.join(self.codes)}: {self.text}"


@dataclass
class Report:
    """What a run found, and how often each operation gave each status."""

    failures: list[Failure] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    requests: Counter[str] = field(default_factory=Counter)
    """The number of requests by phase."""


class Examination:
    """A run of schemathesis in a process of its own.

    `values` are filled into the configuration; with `token` every request is that customer's.
    """

    def __init__(
        self, address: str, folder: Path, *options: str, values: Mapping[str, str], token: str | None = None
    ) -> None:
        folder.mkdir()
        configuration = folder / CONFIGURATION.name
        configuration.write_text(Template(CONFIGURATION.read_text()).substitute(values))
        self._report = folder / "report.ndjson"
        self._log = folder / "output.txt"
        header = (f"--header=Authorization: Bearer {token}",) if token else ()
        command = (
            *(sys.executable, "-m", "schemathesis.cli", f"--config-file={configuration}", "run", address),
            *("--checks=all", f"--report-ndjson-path={self._report}", *header, *options),
        )
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def report(self) -> Report:
        """Wait for its end, and read its report."""
        status = self._process.wait()
        # 1 is "there are failures".
        assert status in {0, 1}, self._log.read_text()
        found = Report()
        for line in self._report.read_text().splitlines():
            ((kind, event),) = json.loads(line).items()
            if kind == "ScenarioFinished":
                _read(event, found)
            elif kind in {"NonFatalError", "FatalError"}:
                found.errors.append(json.dumps(event)[:2000])
        return found


def _read(event: dict[str, Any], found: Report) -> None:
    recorder = event["recorder"]
    cases = recorder.get("cases", {})
    found.requests[event["phase"]] += len(recorder.get("interactions", {}))
    for name, interaction in recorder.get("interactions", {}).items():
        if answer := interaction.get("response"):
            case = cases[name]["value"]
            found.statuses[f"{case['method']} {case['path']}"][answer["status_code"]] += 1
    for name, checks in recorder.get("checks", {}).items():
        for check in checks:
            if check["status"] == "failure":
                found.failures.append(_failure(check, cases[name]["value"], recorder["interactions"].get(name, {})))


def _failure(check: dict[str, Any], case: dict[str, Any], interaction: dict[str, Any]) -> Failure:
    answer = interaction.get("response") or {}
    request = interaction.get("request") or {}
    content = _decoded(answer.get("content"))
    message = check["failure_info"]["failure"]["message"].partition("\n")[0]
    sent = f"{request.get('method')} {request.get('uri')} {_decoded(request.get('body'))[:500]}"
    return Failure(
        check=check["name"],
        operation=check["failure_info"]["failure"].get("operation") or f"{case['method']} {case['path']}",
        status=answer.get("status_code", 0),
        codes=tuple(sorted(set(_codes(content)))),
        text=f"{message}\n    {sent}\n    {content[:500]}",
    )


def _codes(content: str) -> Iterator[str]:
    try:
        problem = json.loads(content)
    except ValueError:
        return
    if isinstance(problem, dict):
        mistakes = problem.get("errors") or [problem]
        yield from (str(mistake["code"]) for mistake in mistakes if "code" in mistake)


def _decoded(body: Any) -> str:
    try:
        return base64.b64decode((body or {}).get("$base64", "")).decode(errors="replace")
    except binascii.Error:
        return ""
