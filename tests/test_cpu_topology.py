"""What flavor and image may wish of a guest's sockets, cores and threads."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.errors import InvalidRequest
from mdsvc.policy.cpu_topology import KINDS, CpuTopology, Wishes, topologies, wishes
from tests.strategies import QUICK, asked, read_row

# The claim; extra specs and image properties, without `cpu_`, of a guest of 8 vCPUs; what is
# preferred and the limits, or the key that is named and what was expected.
ROWS = """
nothing | | | {} {}
the flavor's | sockets=2 cores=4 | | {sockets:2,cores:4} {}
the image's | | sockets=2 threads=2 | {sockets:2,threads:2} {}
the image replaces all of it | sockets=2 cores=4 | threads=2 | {threads:2} {}
limits | max_sockets=2 max_threads=1 | | {} {sockets:2,threads:1}
the image lowers a limit | max_sockets=4 | max_sockets=2 | {} {sockets:2}
the image lowers it below what the flavor prefers | sockets=4 cores=2 | max_sockets=2 | {} {sockets:2}
at the limit | sockets=4 max_sockets=4 | | {sockets:4} {sockets:4}
""".strip().splitlines()  # noqa: E501 - one row, one line

REFUSED = """
none | sockets=0 | | hw:cpu_sockets='0': expected a whole number, at least 1
less | cores=-1 | | hw:cpu_cores='-1': expected a whole number, at least 1
text | threads=two | | hw:cpu_threads='two': expected a whole number, at least 1
empty | max_cores= | | hw:cpu_max_cores='': expected a whole number, at least 1
image text | | max_threads=x | hw_cpu_max_threads='x': expected a whole number, at least 1
no divisor | sockets=3 | | hw:cpu_sockets='3': expected sockets × cores × threads to be the flavor's 8 vCPUs
too many | sockets=4 cores=4 | | hw:cpu_cores='4': expected sockets × cores × threads to be the flavor's 8 vCPUs
too few | sockets=1 cores=2 threads=1 | | hw:cpu_threads='1': expected sockets × cores × threads to be the flavor's 8 vCPUs
the image's product | | cores=16 | hw_cpu_cores='16': expected sockets × cores × threads to be the flavor's 8 vCPUs
not within a limit | cores=1 max_sockets=2 max_threads=2 | | hw:cpu_cores='1': expected sockets × cores × threads to be the flavor's 8 vCPUs within the limits
the flavor's own limit | sockets=4 max_sockets=2 | | hw:cpu_sockets='4': expected at most 2, as cpu_max_sockets says
the image above the flavor's limit | max_cores=4 | cores=8 | hw_cpu_cores='8': expected at most 4, as cpu_max_cores says
the image above its own limit | | max_threads=1 threads=2 | hw_cpu_threads='2': expected at most 1, as cpu_max_threads says
a higher limit | max_threads=1 | max_threads=2 | hw_cpu_max_threads='2': expected at most 1, as cpu_max_threads says
limits too low | max_sockets=1 max_cores=2 max_threads=2 | | hw:cpu_max_sockets='1': expected limits that 8 vCPUs can keep, not 1 sockets, 2 cores, 2 threads
""".strip().splitlines()  # noqa: E501 - one row, one line


def read(row: str) -> tuple[dict[str, str], dict[str, str], str]:
    _, specs, props, expected = read_row(row)
    return (
        {key.replace("hw:", "hw:cpu_"): value for key, value in specs.items()},
        {key.replace("hw_", "hw_cpu_"): value for key, value in props.items()},
        expected,
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.partition(" |")[0])
def test_it_is_read(row: str) -> None:
    specs, props, expected = read(row)
    found = wishes(specs, props, 8)
    shown = " ".join(
        "{" + ",".join(f"{kind}:{size}" for kind, size in sizes.items()) + "}"
        for sizes in (found.preferred, found.limits)
    )
    assert shown == expected


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.partition(" |")[0])
def test_it_is_refused_by_its_key(row: str) -> None:
    specs, props, expected = read(row)
    with pytest.raises(InvalidRequest) as error:
        wishes(specs, props, 8)
    assert str(error.value) == expected


def test_a_request_is_refused_with_it() -> None:
    with pytest.raises(InvalidRequest, match=r"^hw:cpu_sockets='3': expected sockets"):
        asked({"hw:cpu_sockets": "3"}, {})


@QUICK
@given(vcpus=st.integers(1, 200))
def test_topologies_are_all_that_have_so_many_vcpus(vcpus: int) -> None:
    found = topologies(vcpus)
    assert len(set(found)) == len(found)
    assert all(each.sockets * each.cores * each.threads == vcpus for each in found)
    sizes = range(1, vcpus + 1)
    assert len(found) == sum(vcpus % (s * t) == 0 for s in sizes for t in sizes if s * t <= vcpus)


@QUICK
@given(
    vcpus=st.integers(1, 96),
    preferred=st.dictionaries(st.sampled_from(KINDS), st.integers(1, 8)),
    limits=st.dictionaries(st.sampled_from(KINDS), st.integers(1, 8)),
    true=st.sets(st.integers(1, 8)),
)
def test_the_best_has_true_threads_and_no_other_true_one_meets_more(
    vcpus: int, preferred: dict[str, int], limits: dict[str, int], true: set[int]
) -> None:
    best = Wishes(preferred, limits).best(vcpus, true.__contains__, None)
    assert prod((best.sockets, best.cores, best.threads)) == vcpus
    assert best.threads in {1, *true}
    others = [each for each in topologies(vcpus) if each.threads in {1, *true}]
    within = [each for each in others if each.is_within(limits)]
    assert not within or best in within
    assert best.matches(preferred) >= max(each.matches(preferred) for each in within or [best])


def test_without_preference_it_is_the_default_and_else_as_in_nova() -> None:
    default = CpuTopology(1, 4, 2)
    assert Wishes({}, {"sockets": 2}).best(8, lambda _: True, default) == default
    assert Wishes({}, {"sockets": 2}).best(8, lambda _: True, None) == CpuTopology(2, 4, 1)
