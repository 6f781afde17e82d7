"""Pages that are open in a browser, and what must hold of each: it runs no foreign script, asks
nobody else, and has nothing to complain of.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

WIDE, NARROW = (1280, 800), (390, 844)
Scheme = Literal["light", "dark"]


class Looking:
    """Each page is a browser of its own."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.faults: list[str] = []

    def at(self, url: str, size: tuple[int, int] = WIDE, scheme: Scheme = "light") -> Page:
        """The page there."""
        width, height = size
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        self._contexts.append(context)
        page = context.new_page()
        origin = urlsplit(url)[:2]

        def asked(request: Request) -> None:
            if urlsplit(request.url)[:2] != origin:
                self.faults.append(f"asked elsewhere: {request.url}")

        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.faults.append(f"{message.type}: {message.text}")

        page.on("request", asked)
        page.on("console", said)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.goto(url)
        return page

    def end(self) -> None:
        for context in self._contexts:
            context.close()
        assert self.faults == []


def is_wider_than_the_screen(page: Page) -> bool:
    """Whether one would have to scroll sideways; a table may, inside its own box."""
    wider = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    return bool(page.evaluate(wider))


def serious(page: Page) -> list[str]:
    """What axe-core finds that shuts people out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]
