"""Everything is reached by keyboard, and says what it is."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Served
from tests.browser.looking import Looking

TILE = "[data-map] .cpu"


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id"))


def into_the_map(page: Page) -> None:
    """By the Tab key alone."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused(page).startswith("cpu-"):
            return
    raise AssertionError("the Tab key does not lead into the map")


def test_every_pcpu_is_reached_and_has_a_name(fleet: Served, looking: Looking) -> None:
    page = looking.at(f"{fleet.at}/hosts/epyc-03")
    into_the_map(page)
    page.keyboard.press("Home")
    seen = []
    while focused(page) not in seen:
        seen.append(focused(page))
        page.keyboard.press("ArrowDown")
    assert sorted(seen) == sorted(f"cpu-{cpu}" for cpu in range(128))
    names = page.locator(TILE).evaluate_all("all => all.map(one => one.ariaLabel)")
    assert sorted(int(name.split()[1].rstrip(",")) for name in names) == list(range(128))


def test_the_map_is_one_stop_of_the_tab_key(fleet: Served, looking: Looking) -> None:
    page = looking.at(f"{fleet.at}/hosts/epyc-03")
    into_the_map(page)
    page.keyboard.press("ArrowRight")
    here = focused(page)
    page.keyboard.press("Tab")
    assert not focused(page).startswith("cpu-")
    page.keyboard.press("Shift+Tab")
    assert focused(page) == here


def test_enter_leads_from_a_pcpu_to_its_guest(fleet: Served, looking: Looking) -> None:
    page = looking.at(f"{fleet.at}/hosts/epyc-03")
    page.locator(f"{TILE}.pinned").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/instances/*")
    assert page.locator(f"{TILE}.its").count() > 0


def test_the_pcpus_of_one_guest_stand_out_together(fleet: Served, looking: Looking) -> None:
    page = looking.at(f"{fleet.at}/hosts/epyc-03")
    tile = page.locator(f"{TILE}.pinned").first
    tile.focus()
    tag = tile.get_attribute("data-guest")
    expect(page.locator(".same")).to_have_count(page.locator(f"[data-guest={tag}]").count())


def test_the_menu_can_be_skipped(fleet: Served, looking: Looking) -> None:
    page = looking.at(fleet.at)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert focused(page) == "content"
