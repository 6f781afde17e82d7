"""`/`: the hosts with their fill, searched, sorted and paged by the server."""

from __future__ import annotations

import pytest

from mdsvc.control.draining import drain_host
from mdsvc.control.hosts import remove_host
from mdsvc.control.instances import create_instance, delete_instance
from mdsvc.store import Store
from mdsvc.web.rows import Rows
from tests.control_values import FLOATING, PAIR, fill, guest, host, uuid
from tests.web.conftest import Look


@pytest.fixture
async def store(store: Store) -> Store:
    await fill(store, *(host(f"h{number}") for number in (1, 2, 3)))
    await create_instance(store, guest(1, PAIR), "h2")
    await create_instance(store, guest(2, FLOATING), "h3")
    return store


async def names(look: Look, path: str) -> list[str]:
    return [row[0] for row in (await look(path)).one("table").rows()]


async def test_each_host_says_how_full_it_is(look: Look) -> None:
    page = await look("/")
    assert page.one("table").rows()[1] == ["h2", "2 of 12", "10", "0 of 64", "64 of 8192 MiB", "–"]
    assert page.one("table").rows()[2][3] == "2 of 64"
    assert "3 hosts · 34 of 36 dedicated pCPUs free" in page.one("p", class_="summary").text


SORTED = {
    "name": "h1 h2 h3",
    "-name": "h3 h2 h1",
    "pinned": "h1 h3 h2",
    "-pinned": "h2 h1 h3",
    "free": "h2 h1 h3",
    "-free": "h1 h3 h2",
    "-shared": "h3 h1 h2",
    "memory": "h1 h2 h3",
}


@pytest.mark.parametrize(("sort", "order"), SORTED.items())
async def test_they_are_sorted_by_what_is_asked_for(look: Look, sort: str, order: str) -> None:
    assert await names(look, f"/?sort={sort}") == order.split()


async def test_a_heading_says_how_it_is_sorted_and_leads_to_the_other_way(look: Look) -> None:
    heads = {head.text: head for head in (await look("/?sort=-free")).every("th", scope="col")}
    assert heads["Free"].get("aria-sort") == "descending"
    assert heads["Free"].one("a")["href"] == "/?sort=free"
    assert heads["Host"].get("aria-sort") is None


async def test_they_are_searched_by_name(look: Look) -> None:
    assert await names(look, "/?q=H2") == ["h2"]
    assert await names(look, "/?q=%3Cb%3E") == []


async def test_many_come_page_by_page_each_once(store: Store, look: Look) -> None:
    await fill(store, *(host(f"n{number:03}") for number in range(250)))
    seen, path = list[str](), "/?q=n"
    for _ in range(3):
        page = await look(path)
        seen += [row[0] for row in page.one("table").rows()]
        links = {link.text: link["href"] for link in page.one("nav", class_="pages").every("a")}
        path = links.get("Next", "")
    assert seen == [f"n{number:03}" for number in range(250)]
    assert path == ""


async def test_states_are_said_and_who_holds_mixed_guests_back(store: Store, look: Look) -> None:
    await fill(store, host("old", service_version=1))
    await drain_host(store, "h1")
    page = await look("/")
    states = {row[0]: row[-1] for row in page.one("table").rows()}
    assert states == {"h1": "draining", "h2": "–", "h3": "–", "old": "holds mixed guests back"}
    assert "not yet: old (1)" in page.one("p", class_="warning").text


async def test_what_is_shown_is_never_older_than_the_store(store: Store, look: Look) -> None:
    assert (await look("/")).one("table").rows()[1][1] == "2 of 12"
    await delete_instance(store, uuid(1))
    assert (await look("/")).one("table").rows()[1][1] == "0 of 12"


@pytest.mark.parametrize("many", [1, 150])
async def test_rows_are_kept_up_with_what_is_added_changed_and_removed(
    store: Store, many: int
) -> None:
    rows = Rows(store)
    await rows.read()
    await fill(store, *(host(f"n{number:03}") for number in range(many)))
    assert await rows.read() == await Rows(store).read()
    await remove_host(store, "n000")
    await remove_host(store, "h1")
    await create_instance(store, guest(3, PAIR), "h3")
    assert await rows.read() == await Rows(store).read()
    assert len(await rows.read()) == many + 1
