"""The fitter against the reference: complete, sound and best (R14, R15)."""

import json
from collections.abc import Iterable
from itertools import chain

import pytest

from mdsvc.errors import DoesNotFit
from mdsvc.forms import from_builtins, to_json
from mdsvc.layout import fit
from mdsvc.policy import flavor as policy
from mdsvc.topology import Host

from .checker import check
from .exhaustive import Cost, Place, best_cost, cost, left
from .facts import Json, cells_of, parse_cpus
from .generate import Case, cases, sparing_cases, unequal_cases
from .nova_cases import NOVA_CASES, NovaCase
from .pools import pools_for
from .rules import broken_cores, further_domains

SEEDS = range(8)
CASES = 600
UNEQUAL_CASES = 40
SPARING = 60


def fitted(host: Json, flavor: Json, image: Json | None) -> Json | None:
    """The layout's JSON form, or None where it does not fit."""
    request = policy.request(
        from_builtins(flavor, policy.Flavor),
        None if image is None else from_builtins(image, policy.Image),
    )
    try:
        layout: Json = json.loads(to_json(fit(from_builtins(host, Host), request)))
    except DoesNotFit:
        return None
    return layout


def cost_of(host: Json, request: Json, layout: Json) -> Cost:
    """What the layout costs, as the reference reckons it."""
    cells = {cell.id: cell for cell in cells_of(host)}
    places = []
    for placed, wanted in zip(layout["cells"], request["cells"], strict=True):
        cell, pins = cells[placed["host_cell"]], frozenset(placed["cpu_pinning"].values())
        emulator = parse_cpus(placed["cpuset_reserved"])
        taken = pins | emulator
        harm = broken_cores(cell, taken), further_domains(cell, pins, taken)
        pool = pools_for(host, cell, request, wanted["memory_mb"])[0]
        amounts = left(host, cell, request, wanted, bool(emulator))
        places.append(Place(*harm, cell.id, pins, next(iter(emulator), None), pool, amounts))
    return cost(host, request, places)


def mismatches(case: Case) -> list[str]:
    """Where the fitter and the reference disagree."""
    host, flavor, image, request = case
    layout, best = fitted(host, flavor, image), best_cost(host, request)
    if layout is None:
        return [] if best is None else [f"does not fit, but can at the cost of {best}"]
    if best is None:
        return ["fits, but cannot", *check(host, request, layout)]
    faults = check(host, request, layout)
    if not faults and request["cells"] and cost_of(host, request, layout) != best:
        faults = [f"the cost is {cost_of(host, request, layout)}, but {best} is the best"]
    return faults


def report(compared: Iterable[Case]) -> str:
    """Every mismatch, each with the case in JSON for `mdsvc fit`."""
    lines = []
    for case in compared:
        faults = mismatches(case)
        if faults:
            question = dict(zip(("host", "flavor", "image"), case[:3], strict=True))
            lines += [*faults, json.dumps({k: v for k, v in question.items() if v is not None}), ""]
    return "\n".join(lines)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_fitter_agrees_with_the_exhaustive_search(seed: int) -> None:
    compared = cases(seed, CASES), unequal_cases(seed, UNEQUAL_CASES), sparing_cases(seed, SPARING)
    found = report(chain(*compared))
    if found:
        pytest.fail(found, pytrace=False)


@pytest.mark.parametrize("case", NOVA_CASES, ids=lambda case: case.name)
def test_the_fitter_is_right_where_nova_goes_wrong(case: NovaCase) -> None:
    assert not report([(case.host, case.flavor, None, case.request)])
    assert (fitted(case.host, case.flavor, None) is not None) is case.fits
