"""In front of a metadata service: what is changed, what is passed on, and to whom."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from mdsvc.identity.neutron import signed
from tests.overlay.conftest import OTHER, PROJECT, SECRET, UUID, Clock, Start, headers
from tests.overlay.upstream import LEAVES, SEED, VERSIONS, FakeNova, meta_data

META = "/openstack/latest/meta_data.json"


def without_seed(body: bytes) -> bytes:
    return re.sub(rb'("random_seed": )"[^"]*"', rb"\1SEED", body)


async def test_metadata_are_as_they_came_but_for_the_form_of_the_cpus_and_the_seed(
    nova: FakeNova, front: Start
) -> None:
    door = await front(nova)
    body = (await door.ask(META)).body
    expected = meta_data(UUID, dedicated_cpus="2-3,5")
    assert without_seed(body) == without_seed(expected)


async def test_the_list_form_leaves_all_but_the_seed(nova: FakeNova, front: Start) -> None:
    door = await front(nova, dedicated_cpus_format="list")
    body = (await door.ask(META)).body
    assert without_seed(body) == without_seed(meta_data(UUID, dedicated_cpus=[2, 3, 5]))


async def test_the_seed_is_new_in_every_reply_of_one_that_is_kept(
    nova: FakeNova, front: Start
) -> None:
    door = await front(nova)
    bodies = [(await door.ask(META)).body for _ in range(3)]
    seeds = {json.loads(body)["random_seed"] for body in bodies}
    assert len(seeds | {SEED}) == 4
    assert {len(seed) for seed in seeds} == {len(SEED)}
    assert nova.requests[UUID, META] == 1


async def test_the_etag_leaves_the_seed_out_and_follows_all_else(
    nova: FakeNova, front: Start, clock: Clock
) -> None:
    door = await front(nova)
    tags = {(await door.ask(META)).headers["ETag"] for _ in range(2)}
    assert len(tags) == 1
    nova.dedicated = [2]
    clock.now += 16
    assert (await door.ask(META)).headers["ETag"] not in tags


@pytest.mark.parametrize("path", ["/openstack", "/openstack/"])
async def test_the_version_list_is_changed_by_policy_alone(
    nova: FakeNova, front: Start, path: str
) -> None:
    assert (await (await front(nova)).ask(path)).body == VERSIONS.encode()
    newest = await front(nova, version_list="newest")
    assert (await newest.ask(path)).body == b"2020-10-14\n2025-04-04\nlatest"


async def test_cpu_leaves_are_listed_and_there(nova: FakeNova, front: Start) -> None:
    door = await front(nova)
    listed = (await door.ask("/latest/meta-data/")).body.decode().split("\n")
    assert listed == sorted([*LEAVES.split("\n"), "cpu/"])
    assert (await door.ask("/2009-04-04/meta-data/cpu/")).body == b"dedicated"
    assert (await door.ask("/latest/meta-data/cpu/dedicated")).body == b"2-3,5"
    assert (await door.ask("/latest/meta-data/cpu/shared")).status == 404
    assert (await door.ask("/2031-01-01/meta-data/cpu/dedicated")).status == 404


async def test_the_own_tree_is_served(nova: FakeNova, front: Start) -> None:
    door = await front(nova)
    assert (await door.ask("/mdsvc")).body == b"v1/"
    assert (await door.ask("/mdsvc/v1/")).body == b"layout\ndedicated_cpus"
    assert (await door.ask("/mdsvc/v1/dedicated_cpus")).body == b"2-3,5"
    layout = json.loads((await door.ask("/mdsvc/v1/layout")).body)
    assert layout == {"dedicated_cpus": "2-3,5", "etag": layout["etag"]}
    assert (await door.ask("/mdsvc/v1/shared_cpus")).status == 404


@pytest.mark.parametrize(
    "path", ["/latest/meta-data/", META, "/mdsvc/v1/layout", "/latest/meta-data/cpu/dedicated"]
)
async def test_nothing_is_added_for_a_nova_without_the_field(
    nova: FakeNova, front: Start, path: str
) -> None:
    nova.dedicated = None
    answer = await (await front(nova, version_list="newest")).ask(path)
    status, body, kind = nova.said(path, UUID)
    assert answer.status == status
    assert answer.headers["Content-Type"] == kind
    assert without_seed(answer.body) == without_seed(body)


async def test_exactly_the_agents_headers_are_passed_on(nova: FakeNova, front: Start) -> None:
    door = await front(nova)
    sent = {**headers(), "Cookie": "a=b", "X-Metadata-Provider": "p", "User-Agent": "curl"}
    await door.ask("/latest/user%2Ddata?a=1&wait_for_change=true&b=%20", who=sent)
    names = [name for name, _ in nova.headers[0]]
    assert sorted(names) == sorted([*headers(), "Host", "Connection"])
    assert nova.targets == ["/latest/user%2Ddata?a=1&b=%20"]


async def test_bytes_of_any_kind_arrive(nova: FakeNova, front: Start) -> None:
    answer = await (await front(nova)).ask("/openstack/latest/user_data")
    assert answer.body == bytes(range(256))
    assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"X-Instance-ID-Signature": "0" * 64}, 403),
        ({"X-Instance-ID": OTHER}, 403),
        ({"X-Instance-ID-Signature": ""}, 400),
        ({"X-Tenant-ID": "é"}, 400),
    ],
)
async def test_what_is_forged_or_incomplete_never_reaches_the_upstream(
    nova: FakeNova, front: Start, wrong: dict[str, str], status: int
) -> None:
    door = await front(nova)
    for method in ("GET", "POST", "PUT"):
        assert (await door.ask(META, method, who={**headers(), **wrong})).status == status
    assert not nova.targets


async def test_a_password_passes_through_and_is_never_kept(nova: FakeNova, front: Start) -> None:
    door, path = await front(nova), "/openstack/2013-04-04/password"
    for body in (b"\x00one", b"two"):
        assert (await door.ask(path, "POST", data=body)).status == 200
        assert (await door.ask(path)).body == b"secret"
    assert nova.bodies == [b"\x00one", b"", b"two", b""]
    nova.status = 409
    assert (await door.ask(path, "POST", data=b"x")).status == 409


@pytest.mark.parametrize(
    ("upstream", "passed"),
    [
        *((each, each) for each in (200, 400, 403, 404, 409, 503)),
        *((201, 200), (401, 403), (405, 400), (413, 400), (429, 503), (302, 503), (500, 503)),
    ],
)
async def test_only_statuses_that_the_agent_can_pass_are_given(
    nova: FakeNova, front: Start, upstream: int, passed: int
) -> None:
    nova.status, nova.instead = upstream, b"x"
    assert (await (await front(nova)).ask("/latest/meta-data/hostname")).status == passed


async def test_a_project_that_is_not_the_guests_gets_nothing_that_was_kept_for_it(
    nova: FakeNova, front: Start
) -> None:
    door = await front(nova)
    assert (await door.ask(META)).status == 200
    nova.status = 404
    other = await door.ask(META, who=headers(UUID, "p2"))
    assert other.status == 404
    assert PROJECT != "p2"
    assert SECRET.encode() not in other.body


async def test_a_guest_that_waits_is_woken_by_what_has_changed(
    nova: FakeNova, front: Start, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdsvc.overlay.POLL_SECONDS", 0.05)
    door = await front(nova, wait_seconds=25)
    first = await door.ask(META)
    tag = first.headers["ETag"].removeprefix("W/").strip('"')
    query = f"?wait_for_change=true&last_etag={tag}"
    waiting = asyncio.create_task(door.ask(META + query))
    await door.until_waiting(1)
    nova.dedicated = [2]
    clock.now += 1
    answer = json.loads((await waiting).body)
    assert answer["dedicated_cpus"] == "2"
    assert answer["etag"] != tag


async def test_a_guest_that_waits_and_is_gone_is_told(
    nova: FakeNova, front: Start, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdsvc.overlay.POLL_SECONDS", 0.05)
    door = await front(nova, wait_seconds=25)
    waiting = asyncio.create_task(door.ask(META + "?wait_for_change=true"))
    await door.until_waiting(1)
    nova.status, nova.instead = 404, b"gone"
    clock.now += 1
    answer = await waiting
    assert (answer.status, answer.body) == (404, b"gone")


async def test_a_guest_that_waits_while_the_upstream_is_away_learns_of_the_change_after_it(
    nova: FakeNova, front: Start, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdsvc.overlay.POLL_SECONDS", 0.05)
    door = await front(nova, wait_seconds=25)
    waiting = asyncio.create_task(door.ask(META + "?wait_for_change=true"))
    await door.until_waiting(1)
    await nova.stop()
    clock.now += 1
    while b"mdsvc_upstream_last_good_total 0.0" in await door.metrics.text():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert not waiting.done()
    nova.dedicated = [7]
    await nova.start()
    clock.now += 6
    assert json.loads((await waiting).body)["dedicated_cpus"] == "7"


async def test_while_one_secret_is_rotated_out_both_are_taken_and_no_third(
    nova: FakeNova, front: Start
) -> None:
    """Nova gets each guest's signature as it came, and says by itself which it takes."""
    door = await front(nova, shared_secret=("new", SECRET))
    for secret in (SECRET, "new"):
        who = headers() | signed(UUID, PROJECT, secret)
        assert (await door.ask(META, who=who)).status == 200
    asked = [dict(each)["X-Instance-ID-Signature"] for each in nova.headers]
    assert asked == [
        signed(UUID, PROJECT, secret)["X-Instance-ID-Signature"] for secret in (SECRET, "new")
    ]
    third = headers() | signed(UUID, PROJECT, "third")
    assert (await door.ask(META, who=third)).status == 403
    assert len(nova.headers) == 2


async def test_behind_an_agent_nobody_is_held_unless_it_is_set(
    nova: FakeNova, front: Start
) -> None:
    answer = await (await front(nova)).ask(META + "?wait_for_change=true")
    assert answer.status == 200
    assert "etag" in json.loads(answer.body)


async def test_a_third_wait_of_one_guest_is_turned_away(nova: FakeNova, front: Start) -> None:
    door = await front(nova, wait_seconds=25)
    query = META + "?wait_for_change=true"
    waiting = [asyncio.create_task(door.ask(query)) for _ in range(2)]
    await door.until_waiting(2)
    third = await door.ask(query)
    assert third.status == 503
    assert "Retry-After" in third.headers
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
