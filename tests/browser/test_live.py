"""What the command line changes appears by itself; what somebody is doing meanwhile stays."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Served
from tests.browser.looking import Looking
from tests.cli.values import DEDICATED, flavor, host, plain

PAIR = flavor(2, 64, DEDICATED)
UUID = plain(1)["uuid"]


def not_loaded_again(page: Page) -> bool:
    return bool(page.evaluate("window.kept === true"))


def open_page(served: Served, looking: Looking, path: str) -> Page:
    assert served.mdsvc("host", "add", "-", stdin=host("h1")).code == 0
    page = looking.at(served.at + path)
    expect(page.locator("#live")).to_have_text("live")
    page.evaluate("window.kept = true")
    return page


def test_a_placement_appears_on_the_map_and_goes_again(served: Served, looking: Looking) -> None:
    page = open_page(served, looking, "/hosts/h1")
    expect(page.locator("[data-map] .pinned")).to_have_count(0)
    assert served.mdsvc("instance", "create", "-", stdin=plain(1, flavor=PAIR)).code == 0
    expect(page.locator("[data-map] .pinned")).to_have_count(2)
    assert served.mdsvc("instance", "delete", UUID).code == 0
    expect(page.locator("[data-map] .pinned")).to_have_count(0)
    assert not_loaded_again(page)


def test_a_host_appears_among_the_others(served: Served, looking: Looking) -> None:
    page = open_page(served, looking, "/")
    assert served.mdsvc("host", "add", "-", stdin=host("h2")).code == 0
    expect(page.locator("tbody tr")).to_have_count(2)
    assert served.mdsvc("host", "drain", "h2").code == 0
    expect(page.locator("tbody tr").nth(1)).to_contain_text("draining")
    assert not_loaded_again(page)


def test_where_the_keyboard_is_and_what_is_filtered_stays(served: Served, looking: Looking) -> None:
    page = open_page(served, looking, "/changes")
    page.fill("#filter", "host")
    page.locator("tbody a").first.focus()
    assert served.mdsvc("instance", "create", "-", stdin=plain(1, flavor=PAIR)).code == 0
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("tbody tr:visible")).to_have_count(1)
    expect(page.locator("#filter")).to_have_value("host")


def test_on_the_map_the_keyboard_stays_where_it_is(served: Served, looking: Looking) -> None:
    page = open_page(served, looking, "/hosts/h1")
    page.focus("#cpu-5")
    assert served.mdsvc("instance", "create", "-", stdin=plain(1, flavor=PAIR)).code == 0
    expect(page.locator("[data-map] .pinned")).to_have_count(2)
    expect(page.locator("#cpu-5")).to_be_focused()


def test_a_server_that_is_gone_is_said(served: Served, looking: Looking) -> None:
    page = open_page(served, looking, "/")
    served.end()
    expect(page.locator("#live")).to_contain_text("trying again")
    expect(page.locator("#live")).to_have_class("late")
    looking.faults.clear()  # the browser says too that it was cut off


def test_hosts_are_searched_as_one_types(fleet: Served, looking: Looking) -> None:
    page = looking.at(f"{fleet.at}/?sort=-free")
    page.get_by_label("Name contains").press_sequentially("NOSMT")
    expect(page.locator("tbody tr")).to_have_count(8)
    expect(page.get_by_label("Name contains")).to_be_focused()
    assert page.url == f"{fleet.at}/?q=NOSMT&sort=-free"
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Free")
