"""The pytest hooks of `-p pangaea.testing`."""

import signal
import threading

import pytest

from pangaea.testing import caches, databases, servers
from pangaea.testing.availability import skipped_servers


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--engine`: the database engine of kernel and module tests."""
    parser.getgroup("pangaea").addoption(
        "--engine",
        choices=["postgresql", "sqlite"],
        default="postgresql",
        help="the database engine of tests that use Django's databases (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the fixtures after pytest-django's: of two with the same name, pytest uses the later.

    SIGTERM becomes a KeyboardInterrupt: a cancelled run then ends its fixtures, and the servers that they started.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.pluginmanager.register(servers, "pangaea.testing.servers")
    config.pluginmanager.register(databases, "pangaea.testing.databases")
    config.pluginmanager.register(caches, "pangaea.testing.caches")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line per missing server, with the number of skipped tests and the remedy."""
    for reason, count in skipped_servers(terminalreporter.stats.get("skipped", [])).items():
        terminalreporter.write_line(f"SKIPPED {count} test(s): {reason}", yellow=True, bold=True)
