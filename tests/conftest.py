"""What holds for every run.

With CI=true a skipped test fails it: what did not run has proved nothing. Virtual machines come
first, so that none is left over when everything else is done.
"""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith("tests/vm/"))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and reporter.stats.get("skipped"):
        reporter.write_line("\nCI=true: skipped tests fail the run", red=True)
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
