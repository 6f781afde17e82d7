"""The target of Nova's dynamic vendor data: who may ask, of whom, and what is answered."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # has no types of its own

from mdsvc.app import target_app
from mdsvc.errors import BadInput
from mdsvc.metrics import Metrics
from mdsvc.settings import Settings
from mdsvc.store.memory import MemoryStore
from tests.http.fakes import FakeStore
from tests.http.guests import PROJECT as OURS
from tests.http.guests import RICH_UUID, rich
from tests.target.cloud import MIXED, NODE, PLAIN, FakeCloud, question
from tests.target.conftest import Serve

LAYOUT = {
    "dedicated_cpus": "1-3",
    "shared_cpus": "0",
    "realtime_cpus": "",
    "cpu_policy": "mixed",
    "cpu_thread_policy": None,
    "emulator_threads_policy": None,
    "cells": [{"id": 0, "cpuset": "0", "pcpuset": "1-3", "memory_mb": 512, "pagesize_kb": None}],
    "generation": None,
}


async def test_novas_service_learns_where_the_topology_api_has_a_guests_cpus(
    cloud: FakeCloud, serve: Serve
) -> None:
    door = await serve(cloud)
    answer = await door.ask(cloud.token("t", "service"))
    assert (answer.status, answer.json) == (200, LAYOUT)
    assert answer.headers["Content-Type"] == "application/json"
    line = b'mdsvc_target_requests_total{document="layout",status="200"} 1.0'
    assert line in await door.metrics.text()


async def test_no_host_cpu_is_told(cloud: FakeCloud, serve: Serve) -> None:
    cloud.add(MIXED, cloud.servers[MIXED][0]["flavor"], {**NODE, "cpu_pinning": {"1": 4711}})
    told = (await (await serve(cloud)).ask(cloud.token("t", "service"))).json
    assert "4711" not in json.dumps(told)


async def test_a_guest_without_dedicated_cpus_is_told_so(cloud: FakeCloud, serve: Serve) -> None:
    door = await serve(cloud)
    told = (await door.ask(cloud.token("t", "service"), body=question(PLAIN))).json
    assert (told["dedicated_cpus"], told["cpu_policy"], told["cells"]) == ("", "shared", [])


async def test_cloud_init_is_given_a_text_with_the_same_layout(
    cloud: FakeCloud, serve: Serve
) -> None:
    told = (await (await serve(cloud)).ask(cloud.token("t", "admin"), "cloud-init")).json
    (file,) = yaml.safe_load(told)["write_files"]
    assert told.startswith("#cloud-config\n")
    assert (file["path"], json.loads(file["content"])) == ("/etc/mdguest/layout.json", LAYOUT)


async def test_the_operators_template_takes_the_place_of_ours(
    cloud: FakeCloud, serve: Serve, tmp_path: Path
) -> None:
    file = tmp_path / "template"
    file.write_text("#!/bin/sh\necho '{layout}' > /run/cpus\n")
    door = await serve(cloud, vendordata_template=file)
    told = (await door.ask(cloud.token("t", "service"), "cloud-init")).json
    assert json.loads(told.split("'")[1]) == LAYOUT


@pytest.mark.parametrize(
    ("token", "status"),
    [("none", 401), ("", 401), (None, 401), ("over", 401), ("member", 403), ("x" * 8000, 401)],
)
async def test_who_is_no_service_is_refused(
    cloud: FakeCloud, serve: Serve, token: str | None, status: int
) -> None:
    """Keystone's client asks for a new token where the status is 401, and tries again."""
    cloud.token("over", "service", seconds=-1)
    cloud.token("member", "member", "reader")
    assert (await (await serve(cloud)).ask(token)).status == status
    assert cloud.requests["nova"] == 0


async def test_keystone_and_nova_are_asked_once_for_many_guests_requests(
    cloud: FakeCloud, serve: Serve
) -> None:
    door, token = await serve(cloud), cloud.token("t", "Service")
    answers = await asyncio.gather(
        *(door.ask(token, document) for document in ["layout", "cloud-init"] * 20)
    )
    assert {answer.status for answer in answers} == {200}
    assert cloud.requests["GET /v3/auth/tokens"] == 1
    assert cloud.requests[f"GET /compute/servers/{MIXED}/topology"] == 1


async def test_our_own_token_is_renewed_when_it_is_over(cloud: FakeCloud, serve: Serve) -> None:
    door = await serve(cloud)
    assert (await door.ask(cloud.token("a", "service"))).status == 200
    cloud.ours += 7  # the one that we have is good no more
    assert (await door.ask(cloud.token("b", "service"))).status == 200
    assert (await door.ask(cloud.token("b", "service"), body=question(PLAIN))).status == 200
    assert cloud.requests["POST /v3/auth/tokens"] == 2


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (question(project="another"), 404, "not in that project"),
        (question("00000000-0000-4000-8000-00000000000f"), 404, "404"),
        (question("../flavors/1"), 400, "instance-id: expected a UUID"),
        ({"instance-id": MIXED}, 400, "project-id"),
        (b"[]", 400, "object"),
        (b"{", 400, "JSON"),
        (b"\xff", 400, "JSON"),
        (b"[" * 10_000, 400, "JSON"),
        (b" " * (2**20 + 1), 413, "1048576"),
    ],
)
async def test_a_question_that_is_none_is_refused_with_its_field(
    cloud: FakeCloud, serve: Serve, body: Any, status: int, says: str
) -> None:
    answer = await (await serve(cloud)).ask(cloud.token("t", "service"), body=body)
    assert (answer.status, says in answer.json["detail"]) == (status, True)


async def test_whatever_a_guests_owner_has_put_into_the_question_is_not_looked_at(
    cloud: FakeCloud, serve: Serve
) -> None:
    odd = question(metadata={"\x00": "\U0010ffff", "deep": [[[]]]}, **{"user-data": "A" * 87384})
    assert (await (await serve(cloud)).ask(cloud.token("t", "service"), body=odd)).status == 200


async def test_methods_and_paths_that_are_not_there(cloud: FakeCloud, serve: Serve) -> None:
    door, token = await serve(cloud), cloud.token("t", "service")
    assert (await door.ask(token, method="GET")).status == 405
    assert (await door.ask(token, "other")).status == 404
    assert (await door.ask(token, "../healthz", method="GET")).status == 200


# ---- our own store, and the secret ----


async def test_a_guest_of_ours_is_told_as_it_is_told_itself(serve: Serve) -> None:
    store = FakeStore(rich())
    door = await serve(store=store, is_local=True)
    body = question(RICH_UUID, rich().project_id)
    told = (await door.ask(body=body)).json
    assert told["dedicated_cpus"] == str(rich().layout.dedicated_cpus)
    assert told["generation"] == rich().generation
    assert (await door.ask(body=question())).status == 404
    assert (await door.ask(body=question(RICH_UUID, OURS + "x"))).status == 404


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer s3cret", 200),
        ("bearer older", 200),
        ("Basic " + base64.b64encode(b"nova:s3cret").decode(), 200),
        ("Basic " + base64.b64encode(b"s3cret").decode(), 401),
        ("Basic ?", 401),
        ("Bearer", 401),
        ("Bearer s3cretx", 401),
        ("", 401),
    ],
)
async def test_a_shared_secret_lets_in(serve: Serve, header: str, status: int) -> None:
    store = FakeStore(rich())
    door = await serve(store=store, vendordata_secret=("s3cret", "older"))
    body = question(RICH_UUID, rich().project_id)
    assert (await door.ask(body=body, headers={"Authorization": header})).status == status


async def test_a_secret_or_a_token_will_do_where_both_are_set(
    cloud: FakeCloud, serve: Serve
) -> None:
    door = await serve(cloud, vendordata_secret=("s3cret",))
    assert (await door.ask(headers={"Authorization": "Bearer s3cret"})).status == 200
    assert (await door.ask(cloud.token("t", "service"))).status == 200
    assert (await door.ask()).status == 401


def test_it_is_never_open_to_other_machines() -> None:
    settings = Settings(vendordata="0.0.0.0:8777")
    with pytest.raises(BadInput, match=r"vendordata: 0\.0\.0\.0:8777 can be reached from other"):
        target_app(settings, None, MemoryStore(), Metrics(None), is_local=False)


async def test_one_line_in_the_log_says_what_went_wrong(
    cloud: FakeCloud, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """And none is there for what went well: boots are many."""
    caplog.set_level("INFO", "mdsvc")

    def said() -> list[str]:
        lines = [each.getMessage() for each in caplog.records if each.name.startswith("mdsvc.")]
        caplog.clear()
        return lines

    door, token = await serve(cloud), cloud.token("t", "service")
    assert (await door.ask(token)).status == 200
    assert said() == []
    assert (await door.ask("other")).status == 401
    assert said() == ["layout refused with 401: X-Auth-Token: this token is good no more"]
    cloud.status["keystone"] = 500
    assert (await door.ask("third")).status == 503
    (line,) = said()
    assert line.startswith("POST /vendordata/layout: ")
    assert "500" in line
