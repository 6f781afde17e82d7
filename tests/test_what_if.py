"""`mdsvc fit`: every line gives one answer that JSON can hold, whatever the line is."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.forms import to_json
from mdsvc.placing.what_if import answer
from tests.promptly import promptly
from tests.reference.facts import Json
from tests.reference.generate import Case, cases
from tests.strategies import (
    QUICK,
    THOROUGH,
    all_cases,
    grid,
    json_values,
    mutation,
    nested,
    question_of,
)

QUESTION: Json = {
    "host": grid(2, 4, threads=2, shared=1),
    "flavor": {"vcpus": 4, "memory_mb": 512, "extra_specs": {"hw:cpu_policy": "dedicated"}},
}
KEYS = {
    "layout": {"fits", "layout", "warnings"},
    "DoesNotFit": {"fits", "error", "code", "message", "reasons", "warnings"},
    "InvalidRequest": {"fits", "error", "code", "message", "warnings"},
    "BadInput": {"fits", "error", "code", "message", "warnings"},
}


CODES = {
    "DoesNotFit": "does_not_fit",
    "InvalidRequest": "invalid_request",
    "BadInput": "bad_input",
}


def asked(question: Any) -> Json:
    return checked(question if isinstance(question, str | bytes) else json.dumps(question))


def checked(line: str | bytes) -> Json:
    """The answer as its reader sees it, which has just the keys of its kind."""
    text = to_json(answer(line))
    assert b"\n" not in text
    found: Json = json.loads(text)
    assert set(found) == KEYS[found.get("error", "layout")]
    assert found["fits"] is ("layout" in found)
    assert found.get("code") == CODES.get(found.get("error", "layout"))
    assert all(isinstance(text, str) for text in found["warnings"])
    if not found["fits"]:
        assert found["message"].isprintable()
        assert len(found["message"]) < 800
        assert found.get("reasons", ["none wanted"])
    return found


# ---- the four answers ----


def test_what_fits_is_answered_with_the_layout_of_the_contract() -> None:
    found = asked(QUESTION)
    assert list(found) == ["fits", "layout", "warnings"]
    assert list(found["layout"]) == [
        *("dedicated_cpus", "shared_cpus", "realtime_cpus", "cpu_policy", "cpu_thread_policy"),
        *("emulator_threads_policy", "emulator_cpus", "cells"),
    ]
    assert found["layout"]["dedicated_cpus"] == "0-3"
    [cell] = found["layout"]["cells"]
    assert set(cell) == {
        *("id", "host_cell", "cpuset", "pcpuset", "cpu_pinning", "cpuset_reserved"),
        *("memory_mb", "pagesize_kb"),
    }
    assert cell["cpu_pinning"] == {"0": 2, "1": 3, "2": 4, "3": 5}


def test_a_guest_with_no_numa_topology_has_empty_sets() -> None:
    found = asked({**QUESTION, "flavor": {"vcpus": 1, "memory_mb": 1}})
    assert found["layout"] == {
        **dict.fromkeys(["dedicated_cpus", "shared_cpus", "realtime_cpus", "emulator_cpus"], ""),
        **dict.fromkeys(["cpu_thread_policy", "emulator_threads_policy"]),
        "cpu_policy": "shared",
        "cells": [],
    }


def test_what_is_wrong_by_itself_is_an_invalid_request() -> None:
    image = {"properties": {"hw_cpu_policy": "elsewhere"}}
    found = asked({**QUESTION, "image": image})
    assert (found["fits"], found["error"]) == (False, "InvalidRequest")
    assert found["message"].startswith("hw_cpu_policy='elsewhere': expected one of ")


def test_what_this_host_cannot_take_does_not_fit() -> None:
    flavor = {**QUESTION["flavor"], "vcpus": 9}
    found = asked({**QUESTION, "flavor": flavor})
    assert (found["fits"], found["error"]) == (False, "DoesNotFit")
    assert found["message"].startswith(
        "does not fit on host h1: guest cell 0 on host cell 0: needs"
    )
    assert found["reasons"][0]["rule"] == "dedicated_cpus"


BAD = [
    *("", " ", "null", "[]", "5", '"x"', "{", "{}", "NaN", '{"host": {}}', "\ufeff{}", "\0"),
    *('{"a": "\\ud800"}', '{"a": "\ud800"}', nested(70), nested(100_000), nested(70, "{}")),
    '{"host": 1e999}',
    b"\xff",
    b"",
]


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_what_is_no_question_is_bad_input(line: str | bytes) -> None:
    found = asked(line)
    assert (found["fits"], found["error"]) == (False, "BadInput")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host": None}, "host: expected an object"),
        ({"image": []}, "image: expected an object"),
        ({"guest": {}}, "guest: no such field is known here"),
        (
            {"flavor": {"vcpus": 0, "memory_mb": 1}},
            "flavor.vcpus: expected a whole number from 1 to 4096, got 0",
        ),
    ],
)
def test_bad_input_names_the_field(change: Json, message: str) -> None:
    assert asked({**QUESTION, **change})["message"].startswith(message)


def test_image_is_optional() -> None:
    assert asked({**QUESTION, "image": None}) == asked(QUESTION) == asked({**QUESTION, "image": {}})


# ---- whatever is asked ----


@QUICK
@given(json_values())
def test_any_document_has_an_answer(document: Any) -> None:
    asked(document)
    asked({**QUESTION, "host": document})
    asked({**QUESTION, "flavor": document})


@THOROUGH
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60)))
def test_any_line_has_an_answer(line: bytes | str) -> None:
    asked(line)


@QUICK
@given(all_cases(), st.data())
def test_any_change_of_a_question_has_an_answer(case: Case, data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 2**32))
    for number in range(5):
        asked(mutation(question_of(case), Random(seed + number)))


def test_a_thousand_changed_questions_have_answers_at_once() -> None:
    random = Random(7)
    for case in cases(7, 40):
        for _ in range(25):
            line = json.dumps(mutation(question_of(case), random))
            with promptly():
                checked(line)


@QUICK
@given(all_cases())
def test_the_same_question_has_the_same_answer(case: Case) -> None:
    line = json.dumps(question_of(case))
    assert to_json(answer(line)) == to_json(answer(line)) == to_json(answer(line.encode()))


# ---- questions that could take for ever ----


def dedicated(vcpus: int, **specs: object) -> Json:
    extra = {"hw:cpu_policy": "dedicated", **{f"hw:{key}": value for key, value in specs.items()}}
    return {"vcpus": vcpus, "memory_mb": vcpus, "extra_specs": extra}


ODD_CORES = {
    **grid(1, 4096),
    "cells": [
        {
            "id": 0,
            "memory_mb": 2**40,
            "cpus": "0-4095",
            "siblings": [f"{n * (n + 1) // 2}-{n * (n + 3) // 2}" for n in range(1, 90)],
        }
    ],
}
"""Cores of 2, 3, 4, … 90 threads: any number of vCPUs is a sum of some of them, in many ways."""

UNEQUAL = {
    "numa_nodes": 24,
    **{f"numa_cpus.{n}": f"{n * (n + 1) // 2}-{n * (n + 3) // 2}" for n in range(24)},
    **{f"numa_mem.{n}": n + 1 for n in range(24)},
}
LARGE = {
    "4096 vCPUs on one cell": (grid(1, 8192), dedicated(4096)),
    "4096 vCPUs on threads": (grid(1, 1024, threads=8), dedicated(4095)),
    "a core each": (grid(1, 4096, threads=2), dedicated(4096, cpu_thread_policy="isolate")),
    "4096 nodes": (grid(1024, 8), dedicated(4096, numa_nodes=4096)),
    "128 nodes": (grid(128, 8), dedicated(1024, numa_nodes=128)),
    "128 nodes, isolated emulator": (
        grid(128, 8),
        dedicated(1024, numa_nodes=128, emulator_threads_policy="isolate") | {"memory_mb": 2048},
    ),
    "24 unequal nodes, isolated emulator": (
        grid(24, 40, threads=2),
        dedicated(300, **UNEQUAL, emulator_threads_policy="isolate"),
    ),
    "24 unequal nodes, too many": (
        grid(23, 40, threads=2),
        dedicated(300, **UNEQUAL, emulator_threads_policy="isolate"),
    ),
    "cores of all sizes": (ODD_CORES, dedicated(3001, emulator_threads_policy="isolate")),
    "5000 cells": (grid(5000, 1), dedicated(1)),
    "a wall of siblings": (grid(1, 4096, threads=2), dedicated(1)),
    "huge counts": (
        {**grid(1, 2, shared=1), "cpu_allocation_ratio": 1e-300, "floating_vcpus": 2**40},
        {"vcpus": 4096, "memory_mb": 2**40},
    ),
}


@pytest.mark.parametrize("case", LARGE)
def test_a_large_question_is_answered_at_once(case: str) -> None:
    host, flavor = LARGE[case]
    line = json.dumps({"host": host, "flavor": flavor})
    with promptly():
        checked(line)
