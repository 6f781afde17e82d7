"""With CI=true a skipped test fails the run: what did not run has proved nothing."""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and reporter.stats.get("skipped"):
        reporter.write_line("\nCI=true: skipped tests fail the run", red=True)
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
