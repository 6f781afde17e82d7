"""Guests over the API: placed once, told whole, changed, moved, removed."""

from __future__ import annotations

import json

import pytest

from mdsvc.reports import now_ms, read_status
from mdsvc.store import Store
from tests.api.asking import Ask, asking, names, problem
from tests.api.conftest import Serve
from tests.cli.values import DEDICATED, OTHER_UUID, UUID, flavor, guest, host, plain

ONE = f"/v1/instances/{UUID}"


@pytest.fixture
async def placed(ask: Ask) -> None:
    for name in ("h1", "h2"):
        await ask("POST", "/v1/hosts", host(name))
    assert (await ask("POST", "/v1/instances?host=h1", guest())).status == 201


async def test_a_new_guest_is_201_with_where_it_is_and_its_layout(ask: Ask) -> None:
    await ask("POST", "/v1/hosts", host())
    created = await ask("POST", "/v1/instances", guest())
    assert (created.status, created.headers["Location"]) == (201, ONE)
    assert created.json["layout"]["dedicated_cpus"] == "2-3,5-7"
    assert (created.json["host"], created.json["generation"]) == ("h1", 1)
    read = await ask("GET", ONE)
    assert (read.json, read.headers["ETag"]) == (created.json, created.headers["ETag"])
    assert (await ask("GET", ONE.upper().replace("/V1/INSTANCES", "/v1/instances"))).status == 200


@pytest.mark.usefixtures("placed")
async def test_the_same_once_more_is_200_and_another_one_of_the_uuid_409(ask: Ask) -> None:
    stored = (await ask("GET", ONE)).json
    for where in ("", "?host=h1"):
        again = await ask("POST", f"/v1/instances{where}", guest())
        assert (again.status, again.json) == (200, stored)
    problem(await ask("POST", "/v1/instances?host=h2", guest()), 409, "conflict")
    problem(await ask("POST", "/v1/instances", guest(name="other")), 409, "conflict")
    assert len(names(await ask("GET", "/v1/instances"), "instances", "uuid")) == 1


@pytest.mark.usefixtures("placed")
async def test_the_host_that_is_named_is_the_only_one(ask: Ask) -> None:
    refused = await ask("POST", "/v1/instances?host=h9", plain(1))
    assert "h9" in problem(refused, 404, "not_found")["detail"]
    placed = await ask("POST", "/v1/instances?host=h2", plain(1))
    assert placed.json["host"] == "h2"


@pytest.mark.usefixtures("placed")
async def test_what_does_not_fit_says_why_for_each_host(ask: Ask) -> None:
    big = plain(1, flavor=flavor(64, extra_specs=DEDICATED))
    reasons = problem(await ask("POST", "/v1/instances", big), 409, "does_not_fit")["reasons"]
    assert {reason["host"] for reason in reasons} == {"h1", "h2"}
    wrong = plain(1, flavor=flavor(2, extra_specs={"hw:cpu_policy": "x"}))
    refused = problem(await ask("POST", "/v1/instances", wrong), 422, "invalid_request")
    assert refused["field"] == "hw:cpu_policy"


@pytest.mark.usefixtures("placed")
async def test_a_put_changes_what_is_no_cpu_business(ask: Ask) -> None:
    before = await ask("GET", ONE)
    changed = await ask("PUT", ONE, guest(name="renamed"), If_Match=before.headers["ETag"])
    assert (changed.status, changed.json["name"], changed.json["generation"]) == (200, "renamed", 2)
    assert changed.json["layout"] == before.json["layout"]
    stale = await ask("PUT", ONE, guest(name="third"), If_Match=before.headers["ETag"])
    problem(stale, 412, "precondition_failed")
    refused = problem(await ask("PUT", ONE, guest(flavor=flavor(2))), 409, "conflict")
    assert "resize" in refused["detail"]
    other = problem(await ask("PUT", ONE, guest(OTHER_UUID)), 400, "bad_input")
    assert other["field"] == "uuid"
    missing = await ask("PUT", f"/v1/instances/{OTHER_UUID}", guest(OTHER_UUID))
    problem(missing, 404, "not_found")


@pytest.mark.usefixtures("placed")
async def test_a_guest_is_resized_moved_and_rebuilt(ask: Ask) -> None:
    bigger = {"flavor": flavor(memory_mb=1024)}
    resized = await ask("POST", f"{ONE}/resize", bigger)
    assert (resized.status, resized.json["generation"]) == (200, 2)
    assert resized.json["flavor"]["memory_mb"] == 1024
    moved = await ask("POST", f"{ONE}/migrate", {"host": None})
    assert (moved.json["host"], moved.json["generation"]) == ("h2", 3)
    problem(await ask("POST", f"{ONE}/migrate", {"host": "h2"}), 409, "conflict")
    problem(await ask("POST", f"{ONE}/migrate", {"host": "h9"}), 404, "not_found")
    rebuilt = await ask("POST", f"{ONE}/rebuild", {"user_data": "#!/bin/sh\n"})
    assert (rebuilt.json["user_data"], rebuilt.json["generation"]) == ("#!/bin/sh\n", 4)
    kept = await ask("POST", f"{ONE}/rebuild", {})
    assert (kept.json["user_data"], kept.json["host"]) == ("#!/bin/sh\n", "h2")
    for call, body in (("resize", bigger), ("migrate", {}), ("rebuild", {})):
        reply = await ask("POST", f"/v1/instances/{OTHER_UUID}/{call}", body)
        problem(reply, 404, "not_found")


@pytest.mark.usefixtures("placed")
async def test_a_guest_is_deleted_by_whoever_has_read_it_last(ask: Ask) -> None:
    tag = (await ask("GET", ONE)).headers["ETag"]
    await ask("POST", f"{ONE}/rebuild", {})
    problem(await ask("DELETE", ONE, If_Match=tag), 412, "precondition_failed")
    tag = (await ask("GET", ONE)).headers["ETag"]
    assert (await ask("DELETE", ONE, If_Match=tag)).status == 204
    for method in ("GET", "DELETE"):
        problem(await ask(method, ONE), 404, "not_found")
    assert (await ask("GET", "/v1/hosts/h1")).json["cells"][0]["memory_used_mb"] == 0


@pytest.mark.usefixtures("placed")
async def test_a_password_is_given_as_it_was_sent_and_can_be_forgotten(
    ask: Ask, store: Store
) -> None:
    problem(await ask("GET", f"{ONE}/password"), 404, "not_found")
    await store.set_password(UUID, b"\xff\x00secret")
    password = await ask("GET", f"{ONE}/password")
    assert (password.status, password.body) == (200, b"\xff\x00secret")
    assert password.type
    assert password.type.startswith("text/plain")
    assert (await ask("DELETE", f"{ONE}/password")).status == 204
    problem(await ask("DELETE", f"{ONE}/password"), 404, "not_found")


@pytest.mark.usefixtures("placed")
async def test_a_domain_is_xml(ask: Ask) -> None:
    domain = await ask("GET", f"{ONE}/domain")
    assert (domain.status, domain.type) == (200, "application/xml")
    assert domain.text.startswith("<domain")
    problem(await ask("GET", f"/v1/instances/{OTHER_UUID}/domain"), 404, "not_found")


async def test_guests_are_listed_by_host_and_project_page_by_page(ask: Ask) -> None:
    small = flavor(1, 16, {})
    for name in ("h1", "h2"):
        await ask("POST", "/v1/hosts", host(name))
    for number in range(6):
        body = plain(number, flavor=small, project_id=f"p{number % 3}")
        await ask("POST", f"/v1/instances?host=h{number % 2 + 1}", body)

    async def listed(query: str) -> list[int]:
        uuids = names(await ask("GET", f"/v1/instances?{query}"), "instances", "uuid")
        return [int(uuid[-2:]) for uuid in uuids]

    assert await listed("host=h1") == [0, 2, 4]
    assert await listed("project_id=p1") == [1, 4]
    assert await listed("project_id=p1&host=h1") == [4]
    assert await listed("host=h3") == []
    first = await ask("GET", "/v1/instances?limit=4")
    assert first.json["next"] == plain(3)["uuid"]
    assert await listed(f"limit=4&marker={first.json['next'].upper()}") == [4, 5]


@pytest.mark.usefixtures("placed")
async def test_keys_that_nobody_knows_are_told_of(ask: Ask) -> None:
    odd = flavor(1, 16, {"hw:cpu_polcy": "dedicated", "hw:\u2028\r\nX": "1"})
    created = await ask("POST", "/v1/instances", plain(1, flavor=odd))
    told = json.loads(created.headers["X-Mdsvc-Warnings"])
    assert (created.status, len(told)) == (201, 2)
    assert "hw:cpu_policy" in " ".join(told)
    many = {f"hw:{'x' * 200}{number}": "1" for number in range(100)}
    resized = await ask("POST", f"{ONE}/resize", {"flavor": flavor(2, 512, many)})
    assert resized.status == 200, resized.text
    assert 0 < len(json.loads(resized.headers["X-Mdsvc-Warnings"])) < 100
    assert (await ask("GET", ONE)).headers["X-Mdsvc-Warnings"] is None


async def test_what_if_places_nothing(ask: Ask) -> None:
    question = {"flavor": flavor()}
    none = await ask("POST", "/v1/fit", question)
    assert (none.status, none.json["fits"], none.json["code"]) == (200, False, "does_not_fit")
    for name in ("h1", "h2"):
        await ask("POST", "/v1/hosts", host(name))
    chosen = (await ask("POST", "/v1/fit", question)).json
    assert (chosen["fits"], chosen["host"]) == (True, "h1")
    assert chosen["layout"]["dedicated_cpus"] == "2-3,5-7"
    given = (await ask("POST", "/v1/fit", {**question, "host": host("other")})).json
    assert (given["fits"], "host" in given) == (True, False)
    big = {"flavor": flavor(64, extra_specs=DEDICATED)}
    refused = await ask("POST", "/v1/fit", big)
    assert (refused.status, refused.json["fits"]) == (200, False)
    assert [each["host"] for each in refused.json["hosts"] if each["reasons"]] == ["h1", "h2"]
    wrong = {"flavor": flavor(2, extra_specs={"hw:cpu_policy": "x"})}
    answer = await ask("POST", "/v1/fit", wrong)
    assert (answer.status, answer.json["error"]) == (200, "InvalidRequest")
    assert names(await ask("GET", "/v1/instances"), "instances", "uuid") == []


async def test_what_if_keeps_the_rule_over_all_hosts(ask: Ask) -> None:
    await ask("POST", "/v1/hosts", host("h1"))
    await ask("POST", "/v1/hosts", host("old", service_version=1))
    answer = (await ask("POST", "/v1/fit", {"flavor": flavor()})).json
    assert (answer["fits"], answer["error"]) == (False, "DoesNotFit")
    assert "old" in answer["message"]


# ---- what guests report ----

STATUS = f"{ONE}/status"


@pytest.mark.usefixtures("placed")
async def test_what_a_guest_has_reported_is_told_with_why_it_drifts(ask: Ask, store: Store) -> None:
    problem(await ask("GET", STATUS), 404, "not_found")
    problem(await ask("GET", f"/v1/instances/{OTHER_UUID}/status"), 404, "not_found")
    stored = (await ask("GET", ONE)).json
    await store.set_report(UUID, read_status(b'{"generation": 1, "isolated_cpus": "2"}'), now_ms())
    told = (await ask("GET", STATUS)).json
    assert told.pop("reported_at") > 0
    assert told == {
        "uuid": UUID,
        "generation": 1,
        "state": None,
        "dedicated_cpus": None,
        "isolated_cpus": "2",
        "drift": [
            {"code": "not_applied", "message": "it has isolated CPUs 2, and is told 2-3,5-7"}
        ],
    }
    assert (await ask("GET", ONE)).json == stored, "a report is no change of the guest"


@pytest.mark.usefixtures("placed")
async def test_guests_are_listed_by_whether_they_drift(ask: Ask, store: Store) -> None:
    def small(number: int) -> object:
        return plain(number, flavor=flavor(1, 4, {}))

    for number in range(1, 6):
        assert (await ask("POST", "/v1/instances?host=h2", small(number))).status == 201
    everyone = names(await ask("GET", "/v1/instances"), "instances", "uuid")
    broken, well = everyone[1::2], everyone[0::2]
    for uuid in broken:
        await store.set_report(uuid, read_status(b'{"state": "broken"}'), now_ms())
    await store.set_report(well[0], read_status(b"{}"), now_ms())
    for drifted, expected in (("true", broken), ("false", well)):
        path = f"/v1/instances?drifted={drifted}"
        assert names(await ask("GET", path), "instances", "uuid") == expected
        assert await _by_pages(ask, path) == expected
        on_h2 = names(await ask("GET", f"{path}&host=h2"), "instances", "uuid")
        assert on_h2 == [uuid for uuid in expected if uuid != UUID]
    wrong = problem(await ask("GET", "/v1/instances?drifted=perhaps"), 400, "bad_input")
    assert wrong["detail"] == "drifted: expected one of false, true, or nothing"


async def _by_pages(ask: Ask, path: str) -> list[str]:
    listed: list[str] = []
    marker = ""
    while True:
        page = (await ask("GET", f"{path}&limit=1{marker}")).json
        listed += [guest["uuid"] for guest in page["instances"]]
        if page["next"] is None:
            return listed
        marker = f"&marker={page['next']}"


@pytest.mark.usefixtures("placed")
async def test_user_data_are_closed_and_opened_anew(ask: Ask) -> None:
    lock = f"{ONE}/lock"
    assert (await ask("GET", lock)).json == {"uuid": UUID, "closed": False, "closes_at": None}
    before = now_ms() // 1000
    locked = await ask("PUT", lock)
    assert (locked.status, locked.json["closed"]) == (200, True)
    assert before <= locked.json["closes_at"] <= now_ms() // 1000
    assert (await ask("GET", lock)).json == locked.json == (await ask("PUT", lock)).json
    opened = await ask("DELETE", lock)
    assert (opened.status, opened.json["closed"]) == (200, False)
    for method in ("GET", "PUT", "DELETE"):
        missing = await ask(method, f"/v1/instances/{OTHER_UUID}/lock")
        assert (missing.status, missing.json["code"]) == (404, "not_found")


@pytest.mark.usefixtures("placed")
async def test_whether_a_guest_has_to_bring_tokens_is_no_cpu_business(ask: Ask) -> None:
    assert (await ask("GET", ONE)).json["tokens"] is None
    changed = await ask("PUT", ONE, guest(tokens="required"))
    assert (changed.status, changed.json["tokens"], changed.json["generation"]) == (
        200,
        "required",
        2,
    )
    assert changed.headers["X-Mdsvc-Warnings"] is None
    for call, body in (("rebuild", {}), ("migrate", {"host": "h2"})):
        assert (await ask("POST", f"{ONE}/{call}", body)).json["tokens"] == "required"
    again = await ask("PUT", ONE, guest())
    assert again.json["tokens"] is None, "it is the whole description that is put"
    wrong = problem(await ask("PUT", ONE, guest(tokens="sometimes")), 400, "bad_input")
    assert wrong["field"] == "tokens"
    assert "required" in wrong["detail"]


async def test_who_shuts_a_guest_out_behind_neutrons_agent_is_warned(
    serve: Serve, store: Store
) -> None:
    ask = asking(await serve(store, identity="neutron", shared_secret=("s",)))
    await ask("POST", "/v1/hosts", host())
    created = await ask("POST", "/v1/instances", guest(tokens="required"))
    assert created.status == 201
    put = await ask("PUT", ONE, guest(tokens="required", name="renamed"))
    for answer in (created, put):
        [told] = json.loads(answer.headers["X-Mdsvc-Warnings"])
        assert told.startswith("tokens: required, which behind Neutron's agent shuts out")
    put = await ask("PUT", ONE, guest(tokens="optional"))
    assert put.headers["X-Mdsvc-Warnings"] is None
