"""Programs that are started again when they end, with small programs in place of services."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest

from deploy.split import ROOT
from deploy.steps import Steps
from deploy.supervisor import LINES_SHOWN, Program, Supervisor, log_of, pid_file_of
from pangaea.testing import wait_until

pytestmark = pytest.mark.full

READY = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('ready', flush=True); "
RUNS = f"{READY} time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)
FAILS = "print(*('line %d' % number for number in range(99)), sep='\\n'); raise SystemExit('no such table: orders')"


Run: TypeAlias = Callable[..., AbstractContextManager[Supervisor]]


INTERRUPTED = """
import signal, sys, threading
from contextlib import suppress
from pathlib import Path
from deploy.steps import Steps
from deploy.supervisor import Program, Supervisor, log_of
from pangaea.testing import wait_until
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
program = Program("stubborn", (sys.executable, "-c", {stubborn!r}), dict())
folder = Path({folder!r})
supervisor = Supervisor([program], folder=folder, cwd=Path({root!r}), steps=Steps(), stop_timeout=600)
supervisor.start()
wait_until(lambda: "ready" in log_of(folder, "stubborn").read_text(), what="the program", seconds=30)
with suppress(KeyboardInterrupt):
    print(supervisor.pids["stubborn"], flush=True)
    threading.Event().wait()
supervisor.stop()
"""


@pytest.fixture
def out() -> StringIO:
    return StringIO()


@pytest.fixture
def run(tmp_path: Path, out: StringIO) -> Run:
    """Runs Python programs by name until the end of the block, and waits until those that print `ready` have."""

    @contextmanager
    def running(stop_timeout: float = 20.0, **sources: str) -> Iterator[Supervisor]:
        programs = [Program(name, (sys.executable, "-c", source), {}) for name, source in sources.items()]
        supervisor = Supervisor(programs, folder=tmp_path, cwd=ROOT, steps=Steps(out), stop_timeout=stop_timeout)
        supervisor.start()
        for name, source in sources.items():
            if "ready" in source:
                wait_until(partial(is_in, log_of(tmp_path, name), "ready"), what=f"{name} to start", seconds=30)
        try:
            yield supervisor
        finally:
            supervisor.stop()

    return running


def is_in(file: Path, text: str) -> bool:
    return text in file.read_text()


def wait_for(out: StringIO, text: str) -> None:
    wait_until(lambda: text in out.getvalue(), what=f"{text!r} to be written", seconds=30)


class TestAProgram:
    def test_is_started_again_when_it_is_asked_to_end(self, run: Run, out: StringIO, tmp_path: Path) -> None:
        with run(web=RUNS, relay=RUNS) as supervisor:
            before = supervisor.pids
            os.kill(int(pid_file_of(tmp_path, "web").read_text()), signal.SIGTERM)
            wait_for(out, "web is started again, as process")
            after = supervisor.pids
        assert after["web"] != before["web"]
        assert after["relay"] == before["relay"]
        assert "failed" not in out.getvalue()

    def test_that_fails_is_named_with_its_last_lines_and_ends_no_other(self, run: Run, out: StringIO) -> None:
        with run(broken=FAILS, relay=RUNS) as supervisor:
            before = supervisor.pids["relay"]
            wait_for(out, "broken failed with exit status 1, 2 times in a row; started again in 2 s")
            assert supervisor.pids["relay"] == before
        first, *_ = out.getvalue().split("2 times in a row")
        assert "broken failed with exit status 1; started again in 1 s. The end of " in first
        assert first.count("| ") == LINES_SHOWN
        assert "| no such table: orders" in first
        assert "| line 80\n" not in first

    def test_that_fails_once_it_was_asked_to_end_is_named_with_its_last_lines(
        self, run: Run, out: StringIO, tmp_path: Path
    ) -> None:
        changed = tmp_path / "changed"
        with run(web=f"from pathlib import Path\nif Path({str(changed)!r}).exists(): {FAILS}\n{RUNS}") as supervisor:
            changed.touch()
            os.kill(supervisor.pids["web"], signal.SIGTERM)
            wait_for(out, "web failed with exit status 1; started again in 1 s. The end of ")
            wait_for(out, "| no such table: orders")

    def test_that_was_killed_is_started_again(self, run: Run, out: StringIO) -> None:
        with run(web=RUNS) as supervisor:
            os.kill(supervisor.pids["web"], signal.SIGKILL)
            wait_for(out, "web was ended by SIGKILL; started again in 1 s")
            wait_for(out, "web is started again")


class TestTheEnd:
    def test_leaves_no_process(self, run: Run, out: StringIO, tmp_path: Path) -> None:
        with run(web=RUNS, relay=RUNS) as supervisor:
            processes = [psutil.Process(pid) for pid in supervisor.pids.values()]
        assert psutil.wait_procs(processes, timeout=10)[1] == []
        assert "ending 2 processes; Ctrl-C again kills them" in out.getvalue()
        assert "killing" not in out.getvalue()
        assert not list((tmp_path / "pids").iterdir())

    def test_names_what_it_waits_for_and_kills_it_in_the_end(self, run: Run, out: StringIO) -> None:
        with run(stop_timeout=2.5, web=RUNS, stubborn=STUBBORN) as supervisor:
            processes = [psutil.Process(pid) for pid in supervisor.pids.values()]
        assert psutil.wait_procs(processes, timeout=10)[1] == []
        assert "waiting for stubborn\n" in out.getvalue()
        assert "killing stubborn\n" in out.getvalue()

    def test_comes_at_once_after_a_second_interrupt(self, tmp_path: Path) -> None:
        source = INTERRUPTED.format(folder=str(tmp_path), root=str(ROOT), stubborn=STUBBORN)
        with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True, cwd=ROOT) as running:
            assert running.stdout is not None
            pid = int(running.stdout.readline())
            running.send_signal(signal.SIGINT)
            assert "ending 1 processes" in running.stdout.readline()
            running.send_signal(signal.SIGINT)
            assert any("killing stubborn" in line for line in running.stdout)
            assert running.wait(timeout=30) == 0
        assert not psutil.pid_exists(pid)

    def test_takes_the_processes_that_a_program_started(self, run: Run) -> None:
        child = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); {STUBBORN}"
        with run(stop_timeout=0.1, web=child) as supervisor:
            parent = psutil.Process(supervisor.pids["web"])
            processes = [parent, *wait_until(parent.children, what="the child")]
        assert psutil.wait_procs(processes, timeout=10)[1] == []


class TestSteps:
    def test_of_a_terminal_that_was_closed_are_dropped(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        out = os.fdopen(writer, "w")
        steps = Steps(out)
        steps("ending")
        steps.plain("ended")
        with pytest.raises(BrokenPipeError):
            out.close()


class TestRestart:
    def restart(self, state: Path, *names: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "deploy.restart", f"--state={state}", *names]
        return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=60)

    def test_reaches_one_program_or_all_of_a_module(self, run: Run, out: StringIO, tmp_path: Path) -> None:
        programs = {"orders.web": RUNS, "orders.relay": RUNS, "users.web": RUNS}
        with run(**programs) as supervisor:
            before = supervisor.pids
            assert self.restart(tmp_path, "orders").stdout.count("is asked to end") == 2
            for name in ("orders.web", "orders.relay"):
                wait_for(out, f"{name} is started again")
            assert supervisor.pids["users.web"] == before["users.web"]

    @pytest.mark.parametrize("names", [[], [""], ["nothing"], ["order"]])
    def test_lists_the_programs_for_a_name_that_none_has(self, run: Run, tmp_path: Path, names: Sequence[str]) -> None:
        with run(**{"orders.web": RUNS}) as supervisor:
            done = self.restart(tmp_path, *names)
            assert done.returncode == 1
            assert f"orders.web  process {supervisor.pids['orders.web']}" in done.stderr

    def test_names_a_program_that_does_not_run(self, run: Run, tmp_path: Path) -> None:
        with run(**{"orders.web": RUNS}):
            done = self.restart(tmp_path, "orders.relay")
            assert "orders.relay does not run; one that failed is started again in seconds" in done.stderr

    @pytest.mark.parametrize("left", ["{ended}", ""])
    def test_ignores_the_files_of_a_run_that_was_killed(self, tmp_path: Path, left: str) -> None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        file = pid_file_of(tmp_path, "orders.web")
        file.parent.mkdir()
        file.write_text(left.format(ended=ended.pid))
        assert self.restart(tmp_path, "orders.web").stderr == f"No process of `make split` runs in {tmp_path}.\n"

    def test_needs_a_running_deployment(self, tmp_path: Path) -> None:
        done = self.restart(tmp_path, "orders.web")
        assert (done.returncode, done.stderr) == (1, f"No process of `make split` runs in {tmp_path}.\n")
