"""Hosts over the API: stored once, told whole, changed by whoever has read what is there."""

from __future__ import annotations

import asyncio
from typing import Any

from mdsvc.forms import from_builtins
from mdsvc.topology import Host
from tests.api.asking import Ask, names, problem
from tests.cli.values import DEDICATED, UUID, flavor, guest, host

USE = {"pinned": "", "shared_used": 0, "memory_used_mb": 0}


async def test_a_new_host_is_201_with_where_it_is(ask: Ask) -> None:
    created = await ask("POST", "/v1/hosts", host())
    assert (created.status, created.headers["Location"]) == (201, "/v1/hosts/h1")
    assert created.headers["ETag"].startswith('"')
    read = await ask("GET", "/v1/hosts/h1")
    assert (read.status, read.json) == (200, created.json)
    assert read.headers["ETag"] == created.headers["ETag"]


async def test_a_host_is_told_with_its_use(ask: Ask) -> None:
    created = (await ask("POST", "/v1/hosts", host())).json
    assert {name: created["cells"][0][name] for name in USE} == USE
    assert (created["floating_vcpus"], created["draining"]) == (0, False)
    await ask("POST", "/v1/instances", guest(flavor=flavor(2, extra_specs=DEDICATED)))
    assert (await ask("GET", "/v1/hosts/h1")).json["cells"][0]["memory_used_mb"] == 512


async def test_the_same_once_more_is_200_and_another_one_of_the_name_409(ask: Ask) -> None:
    created = await ask("POST", "/v1/hosts", host())
    again = await ask("POST", "/v1/hosts", host(packing="spread"))
    assert (again.status, again.json) == (200, created.json)
    refused = await ask("POST", "/v1/hosts", host(packing="pack"))
    assert "h1" in problem(refused, 409, "conflict")["detail"]
    assert (await ask("GET", "/v1/hosts/h1")).json == created.json


async def test_once_more_is_200_also_where_guests_have_come_and_it_is_drained(ask: Ask) -> None:
    await ask("POST", "/v1/hosts", host())
    await ask("POST", "/v1/instances", guest())
    await ask("PUT", "/v1/hosts/h1/drain")
    again = await ask("POST", "/v1/hosts", host())
    assert (again.status, again.json) == (200, (await ask("GET", "/v1/hosts/h1")).json)
    assert again.json["draining"] is True


async def test_a_put_describes_anew_or_registers(ask: Ask) -> None:
    first = await ask("PUT", "/v1/hosts/h1", host())
    assert (first.status, first.headers["Location"]) == (201, "/v1/hosts/h1")
    second = await ask("PUT", "/v1/hosts/h1", host(packing="pack"))
    assert (second.status, second.json["packing"]) == (200, "pack")


async def test_what_was_read_can_be_given_back_changed(ask: Ask) -> None:
    await ask("POST", "/v1/hosts", host())
    await ask("POST", "/v1/instances", guest())
    read = (await ask("GET", "/v1/hosts/h1")).json
    changed = await ask("PUT", "/v1/hosts/h1", {**read, "packing": "pack"})
    assert changed.json == {**read, "packing": "pack"}


async def test_a_put_under_another_name_is_bad_input(ask: Ask) -> None:
    refused = problem(await ask("PUT", "/v1/hosts/h2", host()), 400, "bad_input")
    assert refused["field"] == "name"


async def test_a_put_under_guests_that_could_not_stay_names_each(ask: Ask) -> None:
    await ask("POST", "/v1/hosts", host())
    await ask("POST", "/v1/instances", guest())
    refused = await ask("PUT", "/v1/hosts/h1", host(cpu_dedicated_set=""))
    reasons = problem(refused, 409, "conflict")["reasons"]
    assert {reason["instance"] for reason in reasons} == {UUID}


async def test_the_etag_is_that_of_the_description_and_not_of_the_use(ask: Ask) -> None:
    before = (await ask("POST", "/v1/hosts", host())).headers["ETag"]
    await ask("POST", "/v1/instances", guest())
    assert (await ask("GET", "/v1/hosts/h1")).headers["ETag"] == before
    changed = await ask("PUT", "/v1/hosts/h1", host(packing="pack"), If_Match=before)
    assert changed.status == 200
    assert changed.headers["ETag"] != before


async def test_if_match_lets_through_only_what_was_read(ask: Ask) -> None:
    tag = (await ask("POST", "/v1/hosts", host())).headers["ETag"]
    for header, status in (
        ('"other"', 412),
        ('"a", "b"', 412),
        ("", 412),
        (f'"a", {tag}', 200),
        (f"W/{tag}", 200),
        ("*", 200),
        (tag, 200),
    ):
        reply = await ask("PUT", "/v1/hosts/h1", host(), If_Match=header)
        assert reply.status == status, header
    problem(await ask("PUT", "/v1/hosts/h2", host("h2"), If_Match="*"), 412, "precondition_failed")
    problem(await ask("DELETE", "/v1/hosts/h1", If_Match='"x"'), 412, "precondition_failed")
    problem(await ask("DELETE", "/v1/hosts/h2", If_Match=tag), 404, "not_found")
    assert (await ask("DELETE", "/v1/hosts/h1", If_Match=tag)).status == 204


async def test_of_twelve_editors_at_once_one_wins_and_eleven_hear_of_it(ask: Ask) -> None:
    tag = (await ask("POST", "/v1/hosts", host())).headers["ETag"]

    async def edit(ratio: int) -> int:
        body = host(cpu_allocation_ratio=float(ratio))
        return (await ask("PUT", "/v1/hosts/h1", body, If_Match=tag)).status

    statuses = await asyncio.gather(*map(edit, range(1, 13)))
    assert sorted(statuses) == [200, *[412] * 11]
    winner = statuses.index(200) + 1
    assert (await ask("GET", "/v1/hosts/h1")).json["cpu_allocation_ratio"] == winner


async def test_a_host_with_guests_is_not_deleted(ask: Ask) -> None:
    await ask("POST", "/v1/hosts", host())
    await ask("POST", "/v1/instances", guest())
    assert UUID in problem(await ask("DELETE", "/v1/hosts/h1"), 409, "conflict")["detail"]
    assert (await ask("DELETE", f"/v1/instances/{UUID}")).status == 204
    deleted = await ask("DELETE", "/v1/hosts/h1")
    assert (deleted.status, deleted.body) == (204, b"")
    problem(await ask("GET", "/v1/hosts/h1"), 404, "not_found")
    problem(await ask("DELETE", "/v1/hosts/h1"), 404, "not_found")


async def test_a_drained_host_takes_no_guests_until_it_is_undone(ask: Ask) -> None:
    await ask("POST", "/v1/hosts", host())
    assert (await ask("PUT", "/v1/hosts/h1/drain")).json["draining"] is True
    assert (await ask("PUT", "/v1/hosts/h1/drain")).status == 200
    problem(await ask("POST", "/v1/instances", guest()), 409, "does_not_fit")
    assert (await ask("DELETE", "/v1/hosts/h1/drain")).json["draining"] is False
    assert (await ask("POST", "/v1/instances", guest())).status == 201
    for method in ("PUT", "DELETE"):
        problem(await ask(method, "/v1/hosts/h2/drain"), 404, "not_found")


async def test_pages_of_hosts_add_up(ask: Ask) -> None:
    for name in ("b", "a", "c", "B"):
        await ask("POST", "/v1/hosts", host(name))
    listed: list[Any] = []
    marker: str | None = ""
    pages = 0
    while marker is not None:
        page = (await ask("GET", f"/v1/hosts?limit=2{marker and f'&marker={marker}'}")).json
        assert len(page["hosts"]) == 2
        listed += page["hosts"]
        marker, pages = page["next"], pages + 1
    assert ([each["name"] for each in listed], pages) == (["B", "a", "b", "c"], 2)
    assert all(from_builtins(each, Host) for each in listed)


async def test_a_hundred_are_listed_where_no_limit_is_given(ask: Ask) -> None:
    for number in range(101):
        await ask("POST", "/v1/hosts", host(f"h{number:03}"))
    page = await ask("GET", "/v1/hosts")
    assert (len(names(page)), page.json["next"]) == (100, "h099")
    rest = await ask("GET", "/v1/hosts?marker=h099")
    assert (names(rest), rest.json["next"]) == (["h100"], None)
    assert len(names(await ask("GET", "/v1/hosts?limit=1000"))) == 101
