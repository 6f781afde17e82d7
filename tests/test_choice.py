"""Choosing among hosts: those that take the guest, the one with the cheapest layout first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice, permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mdsvc.errors import DoesNotFit
from mdsvc.forms import to_json
from mdsvc.layout import Found, Layout, find, fit
from mdsvc.placing import choice
from mdsvc.placing.choice import choose, rank
from mdsvc.policy.flavor import Request
from mdsvc.topology import Host
from tests.reference.facts import Json, cells_of, parse_cpus
from tests.reference.generate import cases
from tests.reference.hosts import random_host
from tests.reference.rules import broken_cores
from tests.strategies import QUICK, asked, grid, host_of, read_row, request_of

DEDICATED = {"hw:cpu_policy": "dedicated"}
OF_CELL = ("pinned", "shared_used", "memory_mb", "memory_used_mb", "siblings", "pages", "l3")


def host(name: str = "h1", cells: int = 1, **more: Any) -> Host:
    """Cells of four cores of two threads, 0-1, 2-3 and so on, the first core of each shared.

    What is said of a cell is said of the first.
    """
    form = grid(cells, 4, 2, 1) | {"name": name}
    for key, value in more.items():
        (form["cells"][0] if key in OF_CELL else form)[key] = value
    return host_of(form)


def listed(hosts: Sequence[Host], wanted: Request) -> str:
    """The ranking by name, those that do not take the guest in brackets."""
    ranking = rank(hosts, wanted)
    return " ".join(r.host.name if r.price is not None else f"({r.host.name})" for r in ranking)


# ---- the order ----

# The claim; extra specs, as in test_flavor.py; vCPUs; the hosts, each with what it differs in; and
# their order, those that do not take the guest in brackets.
ORDERS = """
what does not fit is last | dedicated | 3 | a:pinned=2-5 b c:pinned=2-7 | b (a) (c)
no mixed guest on an old host | mask mixed | 5 | a:service_version=1 b:pinned=2 | b (a)
no new guest on a draining host | dedicated | 2 | a:draining=true b:pinned=2-3 c | c b (a)
fewest cores broken, not emptiest | dedicated | 1 | a b:pinned=2 | b a
fewest cores broken, not fullest | dedicated | 1 | a:pinned=2-5;pack b:pinned=2;pack | b a
an odd vCPU looks for a lone thread | dedicated | 3 | a b:pinned=2-3 c:pinned=7 | c a b
require cannot use it | dedicated cpu_thread_policy=require | 1 | a:pinned=2,4 b c:pinned=2,4,6 | b a (c)
isolate breaks as many anywhere | dedicated cpu_thread_policy=isolate | 2 | a:pinned=2 b c:pinned=2,4 | b a (c)
spread: the emptiest | dedicated | 2 | a:pinned=2-5 b c:pinned=2-3 | b c a
pack: the fullest that suffices | dedicated | 4 | a:pinned=2-5;pack b:pack c:pinned=2-3;pack | c b (a)
spread: then the most memory | dedicated | 2 | a:memory_used_mb=2 b:memory_used_mb=1 c | c b a
pack: then the least that suffices | dedicated | 2 | a:pack b:memory_used_mb=16384;pack c:memory_used_mb=2;pack | c a (b)
fewest L3 domains, not emptiest | dedicated | 4 | a:l3=0-3+4-5+6-7 b:l3=0-3+4-7;pinned=2-3 c | c b a
fewest L3 domains, not fullest | dedicated | 4 | a:l3=0-3+4-5+6-7;pinned=2-3;pack b:l3=0-3+4-7;pack | b a
an unknown L3 counts as one domain | dedicated | 4 | a b:l3=0-7 c:l3=0-3+4-7;pinned=4 | a b c
cores broken before L3 domains | dedicated | 3 | a:l3=0-3+4-7 b:l3=0-3+4-5+6-7;pinned=2 | b a
CPUs before memory | dedicated | 2 | a:pinned=2-3 b:memory_used_mb=9 | b a
two cells: the sum counts | dedicated numa_nodes=2 | 4 | a:cells=3;pinned=2-3 b:cells=2;pinned=2-5 c d:cells=2 | a d b (c)
two cells: broken cores count first | dedicated numa_nodes=2 | 6 | a:cells=4 b:cells=2;pinned=2,4-5 | b a
in a cell: the most shared vCPUs left | numa_nodes=1 | 2 | a:shared_used=31 b:shared_used=30 c:shared_used=32 | b (a) (c)
spread: not the most that one guest may have | numa_nodes=1 | 2 | a:shared_used=28 b:shared_used=2 c | c b a
spread: guests that float use it up, too | numa_nodes=1 | 2 | a:floating_vcpus=28 b:shared_used=2 c | c b a
spread: and memory | numa_nodes=1 | 2 | a:floating_memory_mb=9 b:memory_used_mb=2 c | c b a
spread: of dedicated guests, too | dedicated | 2 | a:floating_memory_mb=9 b:memory_used_mb=2 c | c b a
spread: they are everywhere on a host | numa_nodes=1 | 2 | a:cells=2;floating_vcpus=8 b:cells=2;shared_used=5 c:cells=2;floating_vcpus=12 | b a c
mixed: beside guests that float | mixed cpu_dedicated_mask=0-1 | 4 | a:floating_vcpus=28 b:shared_used=2 | b a
pack: where guests that float leave least | numa_nodes=1 | 2 | a:pack b:floating_vcpus=28;pack c:shared_used=2;pack | b c a
pack: the fewest left by the ratio | numa_nodes=1 | 2 | a:pack b:shared_used=2;pack c:shared_used=28;pack | c b a
spread: memory that is left by the ratio | numa_nodes=1 | 2 | a:memory_used_mb=16600;ram_allocation_ratio=2 b:memory_used_mb=16500;ram_allocation_ratio=2 | b a
dedicated guests: no memory by the ratio | dedicated | 2 | a:ram_allocation_ratio=2 b:ram_allocation_ratio=3 | a b
mixed: free pCPUs, then shared vCPUs left | mixed cpu_dedicated_mask=0-1 | 4 | a:pinned=2-3 b:shared_used=28 c:shared_used=2 | c b a
mixed, pack: the same, the least first | mixed cpu_dedicated_mask=0-1 | 4 | a:pinned=2-3;pack b:shared_used=28;pack c:shared_used=2;pack | a b c
dedicated: shared vCPUs do not matter | dedicated | 2 | a:shared_used=28 b | a b
floating, pack: the fewest left by the ratio | | 2 | a:pack b:floating_vcpus=2;pack c:shared_used=28;pack | c b a
floating: memory that is left by the ratio | | 2 | a:floating_memory_mb=16600;ram_allocation_ratio=2 b:floating_memory_mb=16500;ram_allocation_ratio=2 | b a
floating: the most shared vCPUs left | | 2 | a:floating_vcpus=2 b:floating_vcpus=1 c:floating_vcpus=31 | b a (c)
the name, where all is equal | dedicated | 2 | b c a | a b c
the name, where nothing fits | dedicated | 7 | b c:cells=9 a:pinned=2-7 | (a) (b) (c)
""".strip().splitlines()  # noqa: E501 - one row, one line


def fleet(text: str) -> list[Host]:
    """`a:pinned=2-3;pack b` are two hosts."""
    hosts = []
    for word in text.split():
        name, _, differences = word.replace("pack", "packing=pack").partition(":")
        pairs = [pair.split("=") for pair in filter(None, differences.split(";"))]
        more: Json = {key: int(v) if v.isdigit() and key != "pinned" else v for key, v in pairs}
        more |= {key: True for key, v in pairs if v == "true"}
        more |= {"l3": more["l3"].split("+")} if "l3" in more else {}
        hosts.append(host(name, **more))
    return hosts


@pytest.mark.parametrize("row", ORDERS, ids=lambda row: row.partition(" |")[0])
def test_hosts_are_filtered_and_then_ranked(row: str) -> None:
    claim, specs, vcpus, hosts, order = (part.strip() for part in row.split("|"))
    _, specs_read, _, _ = read_row(f"{claim} | {specs} | |")
    wanted = asked(specs_read, vcpus=int(vcpus))
    for given_order in permutations(fleet(hosts)):
        assert listed(given_order, wanted) == order, "in whatever order they are given"


def test_the_cores_broken_are_told_of_those_that_fit() -> None:
    hosts = fleet("a b:pinned=2 c:pinned=2-7 d:cells=2")
    found = {r.host.name: r.cores_broken for r in rank(hosts, asked(DEDICATED, vcpus=5))}
    assert found == {"a": 1, "b": 0, "c": None, "d": 1}


def test_no_hosts_have_no_ranking() -> None:
    assert rank(iter(()), asked(DEDICATED)) == []


def test_memory_is_compared_in_the_pool_that_is_needed() -> None:
    """a has the most of its base pool left, b of its huge pages."""

    def pages(small: int, huge: int) -> list[Json]:
        return [{"size_kb": 4, "total": small * 256}, {"size_kb": 2048, "total": huge // 2}]

    hosts = [host("b", pages=pages(4096, 8192)), host("a", pages=pages(8192, 4096))]
    assert listed(hosts, asked(DEDICATED, vcpus=2)) == "a b"
    for size in ("large", "any", "2MB"):
        wanted = asked({**DEDICATED, "hw:mem_page_size": size}, vcpus=2)
        assert listed(hosts, wanted) == "b a"
    assert listed(hosts, asked({"hw:mem_page_size": "small"}, vcpus=2)) == "a b"


@pytest.mark.parametrize(("packing", "cell"), [("spread", 1), ("pack", 0)])
def test_cells_are_compared_by_what_is_left_of_them(packing: str, cell: int) -> None:
    on = host(cells=2, shared_used=28, packing=packing)
    assert fit(on, asked({"hw:numa_nodes": 1}, vcpus=2)).cells[0].host_cell == cell


@pytest.mark.parametrize("extra", ["dedicated", "shared", "", "mixed cpu_dedicated_mask=0-1"])
def test_hosts_that_pack_are_filled_before_those_that_spread(extra: str) -> None:
    _, specs, _, _ = read_row(f"|{extra.replace('shared', 'numa_nodes=1')}||")
    largest = grid(1, 4096, 2, 2048, cpu_allocation_ratio=1000, ram_allocation_ratio=1000)
    largest["cells"][0]["memory_mb"] = 2**40
    hosts = [
        host_of(largest | {"name": n, "packing": p}) for n, p in (("a", "spread"), ("b", "pack"))
    ]
    assert listed(hosts, asked(specs, vcpus=4)) == "b a"


# ---- shared work ----


@pytest.fixture
def priced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the hosts that were searched."""
    calls: list[str] = []

    def counted(host: Host, wanted: Request) -> Found | None:
        calls.append(host.name)
        return find(host, wanted)

    monkeypatch.setattr(choice, "find", counted)
    return calls


def test_hosts_that_are_alike_share_the_work(priced: list[str]) -> None:
    wanted = asked(DEDICATED, vcpus=3)
    hosts = [host(f"h{at}", pinned=("", "2", "2-7")[at % 3]) for at in range(60)]
    ranking = rank(hosts, wanted)
    assert len(priced) == 3
    alone = {h.name: rank([h], wanted)[0].price for h in hosts}
    assert {r.host.name: r.price for r in ranking} == alone


def test_labels_make_no_difference(priced: list[str]) -> None:
    first = host(cells=2)
    cells = (replace(cell, id=cell.id + 7, socket=0) for cell in first.cells)
    rank([first, replace(first, name="h2", cells=tuple(cells))], asked(DEDICATED, vcpus=3))
    assert len(priced) == 1


def test_the_host_that_is_chosen_is_not_searched_again(
    priced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(choice, "fit")
    hosts = [host(name, cells=2) for name in ("c", "a", "b")]
    for specs in (DEDICATED, {**DEDICATED, "hw:numa_nodes": 2}, {}):
        priced.clear()
        chosen, layout = choose(hosts, asked(specs, vcpus=2))
        assert (chosen.name, priced) == ("a", ["a"])
        assert layout == fit(hosts[1], asked(specs, vcpus=2))


def test_of_hosts_that_are_alike_each_has_a_layout_of_its_own() -> None:
    wanted, first = asked(DEDICATED, vcpus=2), host("a", cells=2)
    swapped = (replace(cell, id=1 - cell.id) for cell in first.cells)
    hosts = [first, replace(first, name="b", cells=tuple(swapped))]
    for ranked in rank(hosts, wanted):
        assert ranked.layout(wanted) == fit(ranked.host, wanted)


PAGES = [{"size_kb": 4, "total": 1024}]
DIFFERENCES: list[Json] = [
    {"cpu_shared_set": "0"},
    {"cpu_dedicated_set": "2-6"},
    {"cpu_allocation_ratio": 2.0},
    {"ram_allocation_ratio": 2.0},
    {"packing": "pack"},
    {"service_version": 1},
    {"arch": "s390x"},
    {"floating_vcpus": 1},
    {"floating_memory_mb": 1},
    {"cells": 2},
    {"pinned": "2"},
    {"shared_used": 1},
    {"memory_mb": 1024},
    {"memory_used_mb": 1},
    {"siblings": ["0-3", "4-7"]},
    {"l3": ["0-3", "4-7"]},
    {"l3": ["0-5", "6-7"]},
    {"pages": PAGES},
    {"pages": [PAGES[0] | {"used": 1}]},
]


def test_whatever_the_price_depends_on_makes_a_difference(priced: list[str]) -> None:
    rank([host(), *(host(**difference) for difference in DIFFERENCES)], asked(DEDICATED, vcpus=3))
    assert len(priced) == 1 + len(DIFFERENCES)


# ---- the choice ----


def test_the_first_of_the_ranking_is_chosen_with_its_layout() -> None:
    hosts, wanted = fleet("a:pinned=2-7 b c:pinned=2"), asked(DEDICATED, vcpus=3)
    assert choose(hosts, wanted) == (hosts[2], fit(hosts[2], wanted))


def test_where_none_takes_the_guest_each_host_says_why() -> None:
    hosts = fleet("b:pinned=2-7 c a:service_version=1")
    wanted = asked({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1-7"})
    with pytest.raises(
        DoesNotFit, match=r"^fits on none of 3 hosts: host a: .* know mixed"
    ) as none:
        choose(hosts, wanted)
    reasons = none.value.reasons
    assert [reason.host for reason in reasons[:3]] == ["a", "b", "c"], "the nearest of each"
    assert all(reason.message.startswith(f"host {reason.host}: ") for reason in reasons)
    assert [(reason.rule, reason.short) for reason in reasons[:3]] == [
        ("service_version", None),
        ("dedicated_cpus", 7),
        ("dedicated_cpus", 1),
    ]


def test_every_reason_of_every_host_is_told() -> None:
    hosts, wanted = fleet("a:memory_used_mb=16000 b:pinned=2-7"), asked(DEDICATED)
    with pytest.raises(DoesNotFit) as none:
        choose(hosts, wanted)
    told = [(reason.host, reason.rule) for reason in none.value.reasons]
    assert [host for host, _ in told] == ["a", "b", "a"], "the nearest of each, then the next"
    assert {*told} == {("a", "dedicated_cpus"), ("a", "memory"), ("b", "dedicated_cpus")}
    for ranked in rank(hosts, wanted):
        rules = [reason.rule for reason in ranked.reasons(wanted)]
        assert rules == [rule for host, rule in told if host == ranked.host.name]


def test_a_host_that_takes_the_guest_has_no_reasons() -> None:
    wanted = asked(DEDICATED, vcpus=3)
    assert [r.reasons(wanted) for r in rank([host()], wanted)] == [()]


def test_the_only_host_says_why_like_fit() -> None:
    with pytest.raises(DoesNotFit) as fitted:
        fit(host("a"), asked(DEDICATED))
    with pytest.raises(DoesNotFit) as chosen:
        choose([host("a")], asked(DEDICATED))
    assert str(chosen.value) == str(fitted.value)
    assert chosen.value.reasons == fitted.value.reasons


def test_of_no_hosts_none_takes_the_guest() -> None:
    with pytest.raises(DoesNotFit, match=r"^fits on none of 0 hosts$") as none:
        choose([], asked(DEDICATED))
    assert none.value.reasons == ()


# ---- any hosts and any guest ----


def a_fleet_and_a_guest(seed: int) -> tuple[list[Json], Request]:
    """Five random hosts, two of them alike, and a guest that was made for the first."""
    (first, flavor, image, _) = next(cases(seed, 1))
    random = Random(seed)
    others = [random_host(random, len(first["cells"])) for _ in range(3)]
    forms = [first, *others, random.choice([first, *others])]
    named = [form | {"name": f"h{at}"} for at, form in enumerate(forms)]
    random.shuffle(named)
    return named, request_of(flavor, image)


def tried(form: Json, wanted: Request) -> Layout | None:
    try:
        return fit(host_of(form), wanted)
    except DoesNotFit:
        return None


def broken(form: Json, layout: Layout) -> int:
    """The whole cores that the layout breaks, as the reference counts them."""
    cells = {cell.id: cell for cell in cells_of(form)}
    placed = json.loads(to_json(layout))["cells"]
    taken = [
        (cells[c["host_cell"]], parse_cpus(c["cpuset_reserved"]) | {*c["cpu_pinning"].values()})
        for c in placed
    ]
    return sum(broken_cores(cell, frozenset(cpus)) for cell, cpus in taken)


@QUICK
@given(st.integers(0, 2**32))
def test_the_choice_is_the_best_of_trying_every_host(seed: int) -> None:
    forms, wanted = a_fleet_and_a_guest(seed)
    layouts = {form["name"]: tried(form, wanted) for form in forms}
    cores = {f["name"]: broken(f, layout) for f in forms if (layout := layouts[f["name"]])}
    hosts = [host_of(form) for form in forms]
    assert {
        r.host.name: r.cores_broken for r in rank(hosts, wanted) if r.price is not None
    } == cores
    if not cores:
        with pytest.raises(DoesNotFit) as none:
            choose(hosts, wanted)
        assert {reason.host for reason in none.value.reasons} == layouts.keys()
        return
    best, layout = choose(hosts, wanted)
    assert layout == layouts[best.name]
    assert cores[best.name] == min(cores.values())


@QUICK
@given(st.integers(0, 2**32))
def test_the_order_of_the_hosts_does_not_matter(seed: int) -> None:
    forms, wanted = a_fleet_and_a_guest(seed)
    hosts = [host_of(form) for form in forms]
    orders = {listed(order, wanted) for order in islice(permutations(hosts), 0, None, 7)}
    assert len(orders) == 1
