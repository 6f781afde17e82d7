"""Why a guest does not fit: always said, true, the nearest first, and fit for JSON."""

from __future__ import annotations

import json
import re
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.errors import DoesNotFit, Reason
from mdsvc.fitting.demand import Demand, fits
from mdsvc.fitting.reasons import RULES
from mdsvc.fitting.vacancy import vacancies
from mdsvc.forms import to_json
from mdsvc.layout import fit
from tests.reference.exhaustive import best_broken
from tests.reference.facts import Cell, Json, cells_of
from tests.reference.generate import Case, cases, unequal_cases
from tests.strategies import THOROUGH, all_cases, asked, grid, host_of, request_of

NAMES = {"dedicated_cpus", "thread_policy", "shared_cpus", "memory", "pages"}


def reasons_of(case: Case) -> list[Json]:
    """The reasons as their reader sees them; none where the guest fits."""
    form, flavor, image, _ = case
    return refusal(form, request_of(flavor, image))[1]


def refusal(form: Json, request: Any) -> tuple[str, list[Json]]:
    """The message and the reasons."""
    try:
        fit(host_of(form), request)
    except DoesNotFit as error:
        found: list[Json] = json.loads(to_json(list(error.reasons)))
        return str(error), found
    return "", []


def check_reason(reason: Json, case: Case) -> None:
    """It names one rule, says by how much it fails, and where."""
    assert reason["message"].isprintable()
    match reason["rule"]:
        case "service_version":
            assert set(reason) == {"rule", "message"}
            assert case[0]["service_version"] < 2
            assert case[3]["policy"] == "mixed"
        case "assignment":
            check_blocking(reason, case)
        case rule:
            assert rule in NAMES
            assert reason["needed"] - reason["available"] == reason["short"] > 0
            assert reason["available"] >= 0
            words = (
                f"needs {reason['needed']} .*, {reason['available']} there, {reason['short']} short"
            )
            assert re.search(words, reason["message"])
            if "guest_cell" in reason:
                check_numbers(reason, case)


def check_numbers(reason: Json, case: Case) -> None:
    """The numbers are those of the guest cell and of the host cell."""
    cells: dict[int, Cell] = {cell.id: cell for cell in cells_of(case[0])}
    cell, wanted = cells[reason["host_cell"]], case[3]["cells"][reason["guest_cell"]]
    guest, host = (f"{side} cell {reason[f'{side}_cell']}" for side in ("guest", "host"))
    where = (f"{guest} on {host}: ", f"{guest} with the emulator thread on {host}: ")
    assert reason["message"].startswith(where)
    extra = int(case[3]["emulator_threads_policy"] == "isolate")
    match reason["rule"]:
        case "dedicated_cpus":
            assert reason["available"] == len(cell.free)
            assert reason["needed"] - len(wanted["dedicated"]) in (0, extra)
        case "shared_cpus":
            assert reason["needed"] == len(wanted["shared"])
            assert reason["available"] <= len(cell.shared)
        case "memory" | "pages":
            assert reason["needed"] == wanted["memory_mb"]
        case "thread_policy":
            assert case[3]["thread_policy"] in ("isolate", "require")
            assert reason["available"] <= len(cell.free)
        case rule:
            pytest.fail(f"no numbers are known of the rule {rule}")


def check_blocking(reason: Json, case: Case) -> None:
    """More guest cells than host cells, and none of them fits on any other host cell."""
    form, _, _, request = case
    guests, hosts = reason["guest_cells"], reason["host_cells"]
    assert len(guests) > len(hosts)
    assert guests == sorted(set(guests))
    assert hosts == sorted(set(hosts))
    alone = form | {"floating_vcpus": 0, "floating_memory_mb": 0}  # which have all cells together
    usable = {
        cell["id"]
        for guest in guests
        for cell in form["cells"]
        if best_broken(alone | {"cells": [cell]}, _alone(request, guest)) is not None
    }
    assert usable == set(hosts)


def _alone(request: Json, guest: int) -> Json:
    """The request of one of its cells, without the emulator's pCPU."""
    return {**request, "cells": [request["cells"][guest]], "emulator_threads_policy": None}


def share(reason: Json) -> float:
    """How much of what is needed is short."""
    return reason["short"] / reason["needed"] if "short" in reason else 0.0


@THOROUGH
@given(all_cases())
def test_what_does_not_fit_has_true_reasons_the_nearest_first(case: Case) -> None:
    found = reasons_of(case)
    assert bool(found) is (best_broken(case[0], case[3]) is None)
    for reason in found:
        check_reason(reason, case)
    missing = [
        sum(map(share, reasons))  # a pair of cells is as far as all that it lacks
        for _, reasons in groupby(found, key=lambda r: (r.get("guest_cell"), r.get("host_cell")))
    ]
    assert missing == pytest.approx(sorted(missing))


def test_every_kind_of_reason_is_met_among_the_random_cases() -> None:
    found = [
        (case, reason)
        for case in [*cases(11, 500), *unequal_cases(11, 30)]
        for reason in reasons_of(case)
    ]
    assert {reason["rule"] for _, reason in found} == {*NAMES, "service_version", "assignment"}
    for case, reason in found:
        check_reason(reason, case)


@THOROUGH
@given(all_cases())
def test_a_guest_cell_that_fits_nowhere_is_told_why_for_each_host_cell(case: Case) -> None:
    found = [reason for reason in reasons_of(case) if "host_cell" in reason]
    if case[3]["emulator_threads_policy"] == "isolate":
        return  # there what is told may be the emulator's pCPU, which other cells could have
    for guest in {reason["guest_cell"] for reason in found}:
        hosts = {reason["host_cell"] for reason in found if reason["guest_cell"] == guest}
        assert hosts == {cell["id"] for cell in case[0]["cells"]}


@THOROUGH
@given(all_cases(), st.integers(0, 1))
def test_the_rules_in_words_and_the_quick_test_agree(case: Case, reserved: int) -> None:
    request = request_of(*case[1:3])
    for cell in request.cells:
        demand = Demand.of(request, cell)
        demand = demand.with_emulator() if reserved and demand.dedicated else demand
        for vacancy in vacancies(host_of(case[0])):
            assert fits(demand, vacancy) is not any(rule.short(demand, vacancy) for rule in RULES)


# ---- examples ----

DEDICATED = {"hw:cpu_policy": "dedicated"}


def nodes(*sizes: int, **specs: str) -> Any:
    """A dedicated guest with nodes of so many vCPUs, 1 MiB each."""
    described: dict[str, object] = {"hw:numa_nodes": len(sizes)}
    first = 0
    for at, size in enumerate(sizes):
        described[f"hw:numa_cpus.{at}"] = f"{first}-{first + size - 1}"
        described[f"hw:numa_mem.{at}"] = 1
        first += size
    extra = {f"hw:{key}": value for key, value in specs.items()}
    return asked({**DEDICATED, **described, **extra}, vcpus=first, memory_mb=len(sizes))


def test_the_blocking_set_is_named() -> None:
    form = grid(3, 4)
    form["cells"][0]["pinned"] = "0"
    form["cells"][2]["pinned"] = "8"
    message, [reason] = refusal(form, nodes(4, 1, 4))
    assert reason == {
        "rule": "assignment",
        "guest_cells": [0, 2],
        "host_cells": [1],
        "message": "guest cells 0 and 2 can only use host cell 1, and each needs one of its own",
    }
    assert message == f"does not fit on host h1: {reason['message']}"


def test_more_guest_cells_than_host_cells_block_each_other() -> None:
    _, [reason] = refusal(grid(2, 4), nodes(1, 1, 1))
    assert (reason["guest_cells"], reason["host_cells"]) == ([0, 1, 2], [0, 1])


def test_the_nearest_host_cell_comes_first() -> None:
    form = grid(3, 8)
    form["cells"][0]["pinned"] = "0-5"
    form["cells"][1]["pinned"] = "8-10"
    form["cells"][2]["pinned"] = "16-20"
    message, found = refusal(form, nodes(6))
    assert [(reason["host_cell"], reason["short"]) for reason in found] == [(1, 1), (2, 3), (0, 4)]
    assert message.endswith(
        "guest cell 0 on host cell 1: needs 6 free dedicated pCPUs, 5 there, 1 short"
    )


def test_the_emulators_pcpu_is_told_where_only_that_is_short() -> None:
    _, found = refusal(grid(2, 4), nodes(4, 4, emulator_threads_policy="isolate"))
    assert {(reason["needed"], reason["available"]) for reason in found} == {(5, 4)}


@pytest.mark.parametrize(
    ("threads", "policy", "vcpus", "available"),
    [(1, "require", 2, 0), (2, "isolate", 5, 4), (4, "isolate", 3, 2)],
)
def test_the_thread_policy_is_told(threads: int, policy: str, vcpus: int, available: int) -> None:
    form = grid(1, 8 // threads, threads=threads)
    _, [reason, *_] = refusal(form, nodes(vcpus, cpu_thread_policy=policy))
    assert reason["rule"] == "thread_policy"
    assert (reason["needed"], reason["available"]) == (vcpus, available)


def test_s390x_has_no_place_for_a_guest_of_several_nodes() -> None:
    on = host_of(grid(2, 8) | {"arch": "s390x"})
    wanted = asked({"hw:cpu_policy": "dedicated", "hw:numa_nodes": "2"})
    with pytest.raises(DoesNotFit, match="host h1 is s390x, whose guests cannot have several NUMA"):
        fit(on, wanted)
    assert fit(on, asked({"hw:cpu_policy": "dedicated"})).cells[0].host_cell == 0


def test_r17_an_old_host_says_its_service_version() -> None:
    mixed = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0"}
    message, [reason] = refusal(grid(1, 8, shared=4, service_version=1), asked(mixed, vcpus=2))
    assert reason["rule"] == "service_version"
    assert message.endswith("host h1 has service version 1, which does not know mixed guests (R17)")


@pytest.mark.parametrize("specs", [DEDICATED, {}], ids=["dedicated", "floating"])
def test_a_draining_host_says_so_whoever_asks(specs: dict[str, str]) -> None:
    message, [reason] = refusal(grid(1, 8, shared=4) | {"draining": True}, asked(specs, vcpus=2))
    assert reason == {"rule": "draining", "message": "host h1 is draining, and takes no new guests"}
    assert message.endswith(reason["message"])


def test_r15_a_guest_without_topology_is_told_of_the_whole_host() -> None:
    form = grid(2, 4, shared=2, floating_vcpus=62, floating_memory_mb=32768 - 10)
    _, found = refusal(form, asked({}, vcpus=4, memory_mb=16))
    assert [(r["rule"], r["needed"], r["available"], r["short"]) for r in found] == [
        ("memory", 16, 10, 6),
        ("shared_cpus", 4, 2, 2),
    ]
    assert not any("guest_cell" in reason for reason in found)


def test_pages_are_told_in_mib_of_that_size() -> None:
    form = grid(1, 4)
    form["cells"][0]["pages"] = [{"size_kb": 4, "total": 9999}, {"size_kb": 2048, "total": 3}]
    for memory_mb, available in ((8, 6), (5, 4)):
        request = asked({**DEDICATED, "hw:mem_page_size": "2MB"}, vcpus=1, memory_mb=memory_mb)
        _, [reason] = refusal(form, request)
        assert (reason["rule"], reason["available"]) == ("pages", available)


def test_the_reasons_are_found_only_when_asked_for() -> None:
    times = []

    why = Reason(rule="memory", message="why")

    def explain() -> list[Reason]:
        times.append(1)
        return [why]

    error = DoesNotFit("does not fit", explain)
    assert not times
    assert str(error) == "does not fit: why"
    assert error.reasons == (why,)
    assert times == [1]
