"""Every view, light and dark, wide and narrow: nobody is shut out, and it fits the screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Served
from tests.browser.looking import (
    NARROW,
    WIDE,
    Looking,
    Scheme,
    is_wider_than_the_screen,
    serious,
)
from tests.browser.views import VIEWS

LOOKS: dict[str, tuple[tuple[int, int], Scheme]] = {
    "light": (WIDE, "light"),
    "dark-narrow": (NARROW, "dark"),
}


def check(page: Page) -> None:
    assert serious(page) == []
    assert not is_wider_than_the_screen(page)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_shuts_nobody_out(fleet: Served, looking: Looking, view: str, look: str) -> None:
    check(looking.at(fleet.at + VIEWS[view], *LOOKS[look]))


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("drifted", ["true", "false"])
def test_a_guest_shuts_nobody_out(fleet: Served, looking: Looking, look: str, drifted: str) -> None:
    page = looking.at(f"{fleet.at}/instances?drifted={drifted}", *LOOKS[look])
    page.locator("tbody th a").first.click()
    page.wait_for_url("**/instances/*")
    check(page)


def test_on_paper_there_is_the_content_and_no_menu(fleet: Served, looking: Looking) -> None:
    page = looking.at(f"{fleet.at}/hosts/epyc-03")
    page.emulate_media(media="print")
    assert page.locator("#cpu-0").is_visible()
    for away in ("header nav", "#live", ".filter"):
        assert not page.locator(away).is_visible()


def test_it_is_read_where_scripts_are_off(fleet: Served, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{fleet.at}/?q=xeon")
    assert page.locator("tbody tr").count() == 17
    page.goto(f"{fleet.at}/what-if")
    page.get_by_role("button", name="Where would it go?").click()
    assert "would go to" in page.inner_text(".good")
    context.close()
