"""Debian's Chromium, and a real server with the demonstration's fleet for it to look at."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from mdsvc.demo.fleet import fill
from mdsvc.store import Store
from mdsvc.store.opening import open_store
from tests.browser.looking import Looking
from tests.cli.command import MDSVC, Done, environment, process

CHROMIUM = "/usr/bin/chromium"

expect.set_options(timeout=30_000)  # milliseconds, on a machine with much to do


class Served:
    """`mdsvc serve` on a store of its own, until ``end``."""

    def __init__(self, url: str) -> None:
        self.url = url
        listeners = ("--guest", "127.0.0.1:0", "--operator", "127.0.0.1:0")
        self._process = subprocess.Popen(
            [str(MDSVC), "serve", "--store", url, *listeners],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr
        log = self._process.stderr
        said = next(found for line in log if (found := re.search(r"operator: (http\S+)", line)))
        self.at = said[1]
        assert any("ready" in line for line in log)

    def mdsvc(self, *args: str, stdin: object = b"") -> Done:
        """The command, on the same store, as a process of its own."""
        return process(*args, "--store", self.url, stdin=stdin)

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ended with each file, as it has the event loop of this thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


def filled(directory: Path, fill_it: Callable[[Store], Awaitable[object]]) -> Served:
    """A server of a store with what that puts into it."""
    url = f"sqlite:///{directory}/store.db"

    async def make() -> None:
        store = await open_store(url)
        await fill_it(store)
        await store.close()

    with ThreadPoolExecutor() as elsewhere:  # Playwright has the loop of this thread
        elsewhere.submit(lambda: asyncio.run(make())).result()
    return Served(url)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demonstration's fleet, which no test changes."""
    served = filled(tmp_path_factory.mktemp("fleet"), fill)
    yield served
    served.end()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server of the test's own, whose store is empty."""
    served = Served(f"sqlite:///{tmp_path}/store.db")
    yield served
    served.end()


@pytest.fixture
def looking(browser: Browser) -> Iterator[Looking]:
    """Opens pages, and holds in the end what must be true of each of them."""
    looking = Looking(browser)
    yield looking
    looking.end()
