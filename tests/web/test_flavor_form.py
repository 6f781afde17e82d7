"""The form that builds a flavor: it builds what it was filled from, and what it says is asked."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.demo.fleet import STUCK
from mdsvc.forms import to_builtins
from mdsvc.store import Store
from mdsvc.web.flavor_form import built, filled_from
from tests.cli.values import DEDICATED, MIXED
from tests.control_values import fill, host
from tests.http.wire import Wire
from tests.web.conftest import page_of
from tests.web.reading import Node

KNOWN = ["hw:cpu_policy", "hw:mem_page_size", "hw:numa_nodes", "resources:PCPU"]
WORDS = st.text("abcXYZ019_-:^,. é", min_size=1, max_size=12).map(str.strip).filter(bool)
OTHER = WORDS.map("trait:{}".format)


@given(
    vcpus=st.integers(1, 4096),
    specs=st.dictionaries(st.sampled_from(KNOWN) | OTHER, WORDS, max_size=6),
)
def test_what_it_is_filled_from_it_builds_again(vcpus: int, specs: dict[str, str]) -> None:
    flavor = {"vcpus": vcpus, "memory_mb": 64, "extra_specs": specs}
    assert built(filled_from(json.dumps(flavor))) == flavor


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"extra_specs": 3}'])
def test_what_is_no_flavor_fills_nothing_in(text: str) -> None:
    assert set(filled_from(text).values()) <= {""}


@pytest.fixture
async def store(store: Store) -> Store:
    await fill(store, host("h1"))
    return store


async def asked(wire: Wire, **fields: str) -> Node:
    return page_of(await wire(f"/what-if?{urlencode(fields)}"))


async def test_it_asks_for_what_it_says(wire: Wire) -> None:
    fields: dict[str, Any] = {"vcpus": "2", "memory_mb": "64", "hw:cpu_policy": "dedicated"}
    page = await asked(wire, **fields)
    assert "would go to h1." in page.one(class_="good").text
    assert [tile["id"] for tile in page.every(class_="its")] != []
    flavor = json.loads(page.one("textarea", id="flavor").text)
    assert flavor == {"vcpus": 2, "memory_mb": 64, "extra_specs": DEDICATED}


async def test_a_flavor_that_was_pasted_is_in_the_form(wire: Wire) -> None:
    page = await asked(wire, flavor=json.dumps(to_builtins(STUCK)))
    form = page.one("form", class_="build")
    assert form.one("input", name="vcpus")["value"] == str(STUCK.vcpus)
    chosen = form.one("select", name="hw:cpu_thread_policy").one("option", value="isolate")
    assert "selected" in chosen.attributes


async def test_an_image_that_was_pasted_goes_with_the_form(wire: Wire) -> None:
    image = json.dumps({"properties": {"hw_cpu_policy": "shared"}})
    fields = {"vcpus": "2", "memory_mb": "64", "hw:cpu_policy": "mixed", "image": image}
    page = await asked(wire, **fields)
    assert "hw_cpu_policy" in page.one(role="alert").text
    assert page.one("form", class_="build").one("input", name="image")["value"] == image


WRONG = [
    ({"vcpus": "many", "memory_mb": "64"}, "flavor.vcpus: expected a whole number"),
    ({"vcpus": "2", "memory_mb": ""}, "flavor.memory_mb: required, but missing"),
    ({"vcpus": "2", "memory_mb": "64", "other": "what"}, "expected KEY=VALUE in each line"),
    ({"vcpus": "8", "memory_mb": "64", "hw:numa_nodes": "3"}, "hw:numa_nodes"),
    ({"vcpus": "9" * 40, "memory_mb": "64"}, "flavor.vcpus"),
]


@pytest.mark.parametrize(("fields", "said"), WRONG)
async def test_what_is_wrong_with_it_is_said_and_what_was_typed_stays(
    wire: Wire, fields: dict[str, str], said: str
) -> None:
    page = await asked(wire, **fields)
    assert said in page.one(role="alert").text
    form = page.one("form", class_="build")
    assert form.one("input", name="vcpus")["value"] == fields["vcpus"]


async def test_a_value_that_is_none_of_the_choices_is_asked_as_it_is(wire: Wire) -> None:
    page = await asked(wire, vcpus="2", memory_mb="64", **{"hw:cpu_policy": "odd"})
    assert "hw:cpu_policy" in page.one(role="alert").text
    assert page.one("option", value="odd").text == "odd"


async def test_the_seeds_flavor_can_be_built(wire: Wire) -> None:
    page = await asked(wire, vcpus="8", memory_mb="512", **MIXED)
    assert "It fits" in page.one(class_="good").text
