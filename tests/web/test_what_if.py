"""`/what-if`: where it would go, and why not elsewhere, in the words of `mdsvc fit --explain`."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from mdsvc.control.instances import create_instance
from mdsvc.control.what_if import choice_among_registered
from mdsvc.forms import from_builtins
from mdsvc.placing.what_if import Fits, OpenQuestion, Refusal
from mdsvc.store import Store
from tests.cli.values import DEDICATED, MIXED, flavor
from tests.control_values import fill, guest, host, uuid
from tests.http.wire import Wire
from tests.web.conftest import page_of
from tests.web.reading import Node

FLAVORS = [
    flavor(2, 64, DEDICATED),
    flavor(8, 64, DEDICATED),
    flavor(6, 64, DEDICATED),
    flavor(12, 10**6, {**DEDICATED, "hw:numa_nodes": "2"}),
    flavor(8, 512, MIXED),
    flavor(1000, 64, {"hw:cpu_policy": "shared"}),
    flavor(2, 64, {"hw:cpu_policy": "nonsense"}),
    flavor(2, 64, {"hw:cpu_polcy": "dedicated"}),
]


@pytest.fixture
async def store(store: Store) -> Store:
    await fill(store, host("h1"), host("h2"), host("h3", draining=True))
    await create_instance(store, guest(1, flavor(4, 64, DEDICATED)), "h1")
    return store


async def asked(wire: Wire, **fields: Any) -> Node:
    body = urlencode(fields).encode()
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    return page_of(await wire("/what-if", [kind], method="POST", body=body))


def hosts_of(page: Node) -> list[tuple[str, bool, list[str]]]:
    """Those of each table that has a column for whether they fit."""
    return [
        (row.one("th").text, row.every("td")[0].text == "yes", [li.text for li in row.every("li")])
        for table in page.every("table")
        if "Fits" in [head.text for head in table.every("th", scope="col")]
        for row in table.one("tbody").every("tr")
    ]


@pytest.mark.parametrize("form", FLAVORS, ids=json.dumps)
async def test_the_page_says_what_the_use_case_says(store: Store, wire: Wire, form: Any) -> None:
    question = from_builtins({"flavor": form}, OpenQuestion)
    answer = await choice_among_registered(store, question, "warn")
    page = await asked(wire, flavor=json.dumps(form))
    for warning in answer.warnings:
        assert f"Warning: {warning}" in page.text
    if answer.hosts:
        expected = [
            (each.host, each.fits, [reason.message for reason in each.reasons or ()])
            for each in answer.hosts
        ]
        assert sorted(hosts_of(page)) == sorted(expected)
    match answer:
        case Fits():
            assert f"would go to {answer.host}." in page.one(class_="good").text
        case Refusal():
            assert page.one(role="alert").text == f"{answer.error}: {answer.message}"


async def test_the_flavors_above_show_both_answers(store: Store) -> None:
    answers = [
        await choice_among_registered(store, from_builtins({"flavor": f}, OpenQuestion), "warn")
        for f in FLAVORS
    ]
    assert {type(answer) for answer in answers} == {Fits, Refusal}


async def test_an_image_counts_too(wire: Wire) -> None:
    image = {"properties": {"hw_cpu_policy": "dedicated"}}
    page = await asked(wire, flavor=json.dumps(FLAVORS[5]), image=json.dumps(image))
    assert "InvalidRequest" in page.one(role="alert").text


BAD = {
    "nonsense": "flavor: ",
    "[]": "flavor: ",
    '{"vcpus": "<b>"}': "flavor",
    '{"vcpus": 2, "memory_mb": 64, "colour": "red"}': "colour",
}


@pytest.mark.parametrize(("text", "said"), BAD.items())
async def test_what_is_no_flavor_is_said_beside_what_was_typed(
    wire: Wire, text: str, said: str
) -> None:
    page = await asked(wire, flavor=text)
    assert said in page.one(role="alert").text
    assert page.one("textarea", id="flavor").text.strip() == text


async def test_it_can_be_asked_by_a_link_too_and_places_nothing(store: Store, wire: Wire) -> None:
    query = urlencode({"flavor": json.dumps(FLAVORS[0])})
    before = await store.position()
    page = page_of(await wire(f"/what-if?{query}"))
    assert "would go to" in page.one(class_="good").text
    assert await store.position() == before
    assert await store.get_instance(uuid(2)) is None


async def test_more_than_a_form_is_not_read(wire: Wire) -> None:
    reply = await wire("/what-if", method="POST", body=b"flavor=" + b"x" * 300_000)
    page_of(reply, 413)
