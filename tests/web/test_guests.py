"""`/instances`, `/instances/UUID` and `/changes`."""

from __future__ import annotations

import pytest

from mdsvc.api.pages import InstancesQuery
from mdsvc.control import user_data
from mdsvc.control.instances import create_instance, delete_instance
from mdsvc.reports import Status, now_ms
from mdsvc.store import Store
from mdsvc.web import named as searching
from tests.api.conftest import Serve
from tests.control_values import FLOATING, PAIR, fill, guest, host, uuid
from tests.web.conftest import Look, page_of


@pytest.fixture
async def store(store: Store) -> Store:
    await fill(store, host("h1"), host("h2"))
    await create_instance(store, guest(1, PAIR, name="one"), "h1")
    await create_instance(store, guest(2, FLOATING, name="two", project_id="other"), "h2")
    return store


async def names(look: Look, path: str) -> list[str]:
    links = (await look(path)).one("tbody").every("th", scope="row")
    return [cell.every("a")[0].text for cell in links]


async def test_guests_are_listed_and_filtered_by_host_and_project(look: Look) -> None:
    assert await names(look, "/instances") == ["one", "two"]
    assert await names(look, "/instances?host=h1&project_id=") == ["one"]
    assert await names(look, "/instances?project_id=other") == ["two"]
    assert await names(look, "/instances?project_id=other&host=h1") == []


async def test_guests_are_searched_by_a_part_of_their_name_or_uuid(look: Look) -> None:
    assert await names(look, "/instances?q=TW") == ["two"]
    assert await names(look, f"/instances?q={uuid(1)[-5:]}") == ["one"]
    assert await names(look, "/instances?q=o&host=h1&drifted=false") == ["one"]
    assert await names(look, "/instances?q=%3Cb%3E") == []
    assert await names(look, "/instances?q=o&drifted=true") == []


async def test_the_list_is_live_and_a_search_is_not(look: Look) -> None:
    live = {
        path: "data-events" in (await look(path)).one("main").attributes
        for path in (
            "/instances",
            "/instances?host=h1",
            "/instances?q=o",
            "/instances?drifted=true",
        )
    }
    assert list(live.values()) == [True, True, False, False]


async def test_what_is_found_comes_page_by_page_each_once(store: Store, look: Look) -> None:
    for number in range(3, 9):
        await create_instance(store, guest(number, FLOATING, name=f"web-{number}"), "h2")
    seen, path = list[str](), "/instances?q=web&limit=4"
    while path:
        page = await look(path)
        seen += await names(look, path)
        links = {a.text: a["href"] for nav in page.every(class_="pages") for a in nav.every("a")}
        path = links.get("Next", "")
    assert seen == [f"web-{number}" for number in range(3, 9)]


async def test_a_search_that_takes_long_says_that_there_may_be_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_PAGE", 1)
    asked = InstancesQuery(limit=10)
    ticks = iter(range(99))
    first = await searching.named(store, "t", asked, lambda: float(next(ticks)))
    assert ([guest.name for guest in first.guests], first.next) == ([], uuid(1))
    rest = await searching.named(store, "t", InstancesQuery(limit=10, marker=first.next))
    assert ([guest.name for guest in rest.guests], rest.next) == (["two"], None)


async def test_many_come_page_by_page_each_once(look: Look) -> None:
    first = await look("/instances?limit=1")
    following = first.one("nav", class_="pages").one("a")
    assert following.text == "Next"
    assert await names(look, following["href"]) == ["two"]
    back = (await look(following["href"])).one("nav", class_="pages").one("a")
    assert (back.text, back["href"]) == ("First", "/instances?limit=1")


async def test_a_guest_says_where_each_vcpu_runs(look: Look) -> None:
    page = await look(f"/instances/{uuid(1)}")
    rows = page.every("table")[0].rows()
    assert [row[:2] for row in rows] == [["0", "dedicated"], ["1", "dedicated"]]
    assert all(row[4].startswith("pCPU ") for row in rows)


async def test_one_that_floats_says_over_which_pcpus(look: Look) -> None:
    rows = (await look(f"/instances/{uuid(2)}")).every("table")[0].rows()
    assert {row[4] for row in rows} == {"floats over pCPUs 0,4,8,12"}


async def told(look: Look) -> dict[str, list[str]]:
    """Of guest 1: what it is told, what it has reported, and whether they agree."""
    table = (await look(f"/instances/{uuid(1)}")).every("table")[1]
    return {row[0]: row[1:] for row in table.rows()}


async def test_what_it_is_told_is_there_with_its_generation(look: Look) -> None:
    rows = await told(look)
    assert rows["generation"] == ["1", "–", ""]
    assert rows["dedicated_cpus"] == ["0-1", "–", ""]
    assert rows["shared_cpus"] == ["none", "–", ""]


async def test_its_pcpus_stand_out_on_its_host_among_those_of_others(
    store: Store, look: Look
) -> None:
    await create_instance(store, guest(3, PAIR, name="three"), "h1")
    drawn = (await look(f"/instances/{uuid(1)}")).one("div", class_="map")
    names = {tile["aria-label"].partition(": ")[2] for tile in drawn.every(class_="its")}
    assert names == {"vCPU 0 of one", "vCPU 1 of one"}
    assert {a["href"] for a in drawn.every("a", class_="pinned")} == {f"/instances/{uuid(3)}"}


async def test_a_guest_leads_to_where_another_like_it_would_go(look: Look) -> None:
    page = await look(f"/instances/{uuid(1)}")
    [link] = [a["href"] for a in page.every("a") if a["href"].startswith("/what-if?")]
    assert "It fits, and would go to" in (await look(link)).one(class_="good").text


async def test_changes_are_the_last_ones_first_and_removals_are_told(
    store: Store, look: Look
) -> None:
    await delete_instance(store, uuid(1))
    rows = (await look("/changes")).one("table").rows()
    assert [row[1:] for row in rows if row[1] == "guest"] == [
        ["guest", uuid(1), "removed", ""],
        ["guest", f"two{uuid(2)}", "placed", "h2"],
    ]
    revisions = [int(row[0]) for row in rows]
    assert revisions == sorted(revisions, reverse=True)


async def test_a_revision_with_more_changes_than_are_shown_holds_nothing_up(
    store: Store, look: Look
) -> None:
    async with store.transaction() as tx:
        for number in range(1500):
            await tx.add_host(host(f"n{number:04}"))
    rows = (await look("/changes")).one("table").rows()
    assert len(rows) == 100
    assert all(row[2].startswith("n") for row in rows)
    await create_instance(store, guest(3, PAIR, name="three"), "h1")
    rows = (await look("/changes")).one("table").rows()
    assert {row[2][:5] for row in rows} == {"three", "h1"}


async def _reports(store: Store, number: int, state: str) -> None:
    await store.set_report(uuid(number), Status(generation=1, state=state), now_ms())


async def test_a_guest_shows_what_it_has_reported_and_why_it_drifts(
    look: Look, store: Store
) -> None:
    path = f"/instances/{uuid(1)}"
    assert "nothing reported yet" in (await look(path)).text
    await _reports(store, 1, "isolated")
    assert (await told(look))["state"] == ["isolated", "isolated", "the same"]
    assert (await look(path)).every(class_="warning") == []
    await _reports(store, 1, "broken")
    assert (await told(look))["state"] == ["isolated", "broken", "≠ not the same"]
    page = await look(path)
    assert "it says that it is broken" in page.one(class_="warning").text
    assert page.every("table")[1].one("caption").text.endswith("UTC")


async def test_the_list_marks_guests_that_drift_and_can_show_them_alone(
    look: Look, store: Store
) -> None:
    await _reports(store, 1, "isolated")
    await _reports(store, 2, "broken")
    page = await look("/instances")
    assert [row[-1] for row in page.one("table").rows()] == ["–", "it says that it is broken"]
    only = next(a["href"] for a in page.every("a") if a.text.startswith("Only those that drift"))
    assert await names(look, only) == ["two"]
    assert await names(look, "/instances?drifted=false") == ["one"]
    page = await look("/instances?drifted=false&limit=1")
    assert await names(look, "/instances?drifted=false&limit=1") == ["one"]
    assert page.every("nav", class_="pages") == []


async def test_a_guest_is_shown_with_whether_its_user_data_are_closed(
    store: Store, look: Look
) -> None:
    await create_instance(store, guest(3, FLOATING, name="three", user_data="secret"), "h2")
    assert "closed" not in (await look(f"/instances/{uuid(2)}")).text
    assert "closed" not in (await look(f"/instances/{uuid(3)}")).text
    await user_data.lock(store, uuid(3))
    page = (await look(f"/instances/{uuid(3)}")).text
    assert "closed since 20" in page
    assert "secret" not in page


async def test_a_guest_is_shown_with_its_tokens_and_whether_they_shut_it_out(
    store: Store, look: Look, serve: Serve
) -> None:
    await create_instance(store, guest(3, FLOATING, name="three", tokens="required"), "h2")
    assert "as is set for all guests" in (await look(f"/instances/{uuid(2)}")).text
    direct = (await look(f"/instances/{uuid(3)}")).text
    assert "required" in direct
    assert "shuts out" not in direct
    behind = await serve(store, identity="neutron", shared_secret=("s",))
    for number, warned in ((2, False), (3, True)):
        text = page_of(await behind(f"/instances/{uuid(number)}")).text
        assert ("shuts out" in text) == warned
