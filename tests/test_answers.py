"""`mdsvc fit` for people: a layout or reasons, a choice of hosts, Placement's view."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from mdsvc.forms import from_builtins, to_json
from mdsvc.placing.what_if import (
    Fits,
    PlacementAnswer,
    Refusal,
    answer,
    choice_answer,
    placement_answer,
)
from mdsvc.terminal import answers
from mdsvc.terminal.words import Printable
from mdsvc.topology import Host

HOST: dict[str, Any] = {
    "name": "h1",
    "cpu_shared_set": "0-1",
    "cpu_dedicated_set": "2-7",
    "cells": [
        {"id": 0, "memory_mb": 1024, "cpus": "0-7", "siblings": ["0-1", "2-3", "4-5", "6-7"]}
    ],
}
FULL = {**HOST, "name": "h2", "cells": [{**HOST["cells"][0], "pinned": "2-7"}]}
OLD = {**HOST, "name": "h3", "service_version": 1}
MIXED = {
    "vcpus": 4,
    "memory_mb": 512,
    "extra_specs": {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "2-3"},
}


def text(printed: Printable) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(printed)
    return out.getvalue()


def line(**parts: object) -> str:
    return json.dumps(parts)


def hosts(*forms: dict[str, Any]) -> list[Host]:
    return [from_builtins(form, Host) for form in forms]


def test_a_layout_is_shown_cell_by_cell() -> None:
    shown = text(answers.in_words(answer(line(host=HOST, flavor=MIXED))))
    assert "dedicated_cpus" in shown
    assert "2→2 3→3" in shown


def test_a_refusal_says_what_is_short() -> None:
    shown = text(answers.in_words(answer(line(host=FULL, flavor=MIXED))))
    assert "needs 2 free dedicated pCPUs, 0 there, 2 short" in shown


def test_the_choice_names_the_host_and_why_the_others_are_not_it() -> None:
    found = choice_answer(line(flavor=MIXED), hosts(OLD, FULL, HOST))
    assert isinstance(found, Fits)
    assert found.host == "h1"
    assert [host.host for host in found.hosts or ()] == ["h1", "h2", "h3"]
    shown = text(answers.in_words(found))
    assert "on host h1" in shown
    assert "service version 1" in shown
    assert "0 there" in shown


def test_no_host_at_all_is_told_with_each_ones_nearest_reason() -> None:
    found = choice_answer(line(flavor=MIXED), hosts(OLD, FULL))
    assert isinstance(found, Refusal)
    assert (found.error, found.code) == ("DoesNotFit", "does_not_fit")
    assert found.hosts
    assert all(host.reasons for host in found.hosts)
    assert "fits on none of 2 hosts" in text(answers.in_words(found))


def test_a_short_table_of_many_hosts_counts_the_rest() -> None:
    many = hosts(*({**HOST, "name": f"h{n}"} for n in range(25)))
    shown = text(answers.in_words(choice_answer(line(flavor=MIXED), many)))
    assert "15 more take it" in shown


@pytest.mark.parametrize("ask", [answer, placement_answer, lambda asked: choice_answer(asked, [])])
@pytest.mark.parametrize("garbage", ["", "{}", "nope", '{"flavor": 3}'])
def test_a_bad_question_is_one_answer_too(ask: Any, garbage: str) -> None:
    assert (ask(garbage).error, ask(garbage).code) == ("BadInput", "bad_input")


def test_placement_is_asked_for_counts_and_the_host_has_inventories() -> None:
    found = placement_answer(line(host=HOST, flavor=MIXED))
    assert isinstance(found, PlacementAnswer)
    assert found.query == "/allocation_candidates?resources=PCPU:2,VCPU:2,MEMORY_MB:512"
    assert found.inventories
    assert found.inventories["PCPU"]["total"] == 6
    shown = text(answers.in_words(found))
    assert "GET /allocation_candidates?" in shown
    assert "PCPU" in shown


def test_placement_needs_no_host_to_know_the_query() -> None:
    found = placement_answer(line(flavor=MIXED))
    assert b"inventories" not in to_json(found)
    assert "no traits" in text(answers.in_words(found))
