"""Flavor and image → Request: one table each for R1-R6, R9, R10 and R13, and what holds for all.

`test_guest_numa.py` has R7 and R8.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput, InvalidRequest
from mdsvc.forms import from_builtins
from mdsvc.policy.flavor import Flavor, Image, Request
from tests.strategies import QUICK, THOROUGH, asked, read_row, shown_request

# ---- R1 ----

MATRIX = """
    image       dedicated   mixed     shared    -
    dedicated   dedicated   conflict  conflict  dedicated
    mixed       dedicated   mixed     conflict  mixed
    shared      dedicated   conflict  shared    shared
    -           dedicated   mixed     shared    shared
"""
"""The flavor's policy runs across; where neither says one (R2), the guest is shared."""

_HEAD, *_ROWS = [line.split() for line in MATRIX.strip().splitlines()]
CELLS = [
    (image, flavor, policy)
    for image, *row in _ROWS
    for flavor, policy in zip(_HEAD[1:], row, strict=True)
]


def test_the_matrix_has_sixteen_cells() -> None:
    assert len(set(CELLS)) == 16


@pytest.mark.parametrize(("image", "flavor", "policy"), CELLS)
def test_r1_the_matrix_resolves_the_policies(image: str, flavor: str, policy: str) -> None:
    props = {} if image == "-" else {"hw_cpu_policy": image}
    specs = {} if flavor == "-" else {"hw:cpu_policy": flavor}
    if policy == "conflict":
        with pytest.raises(InvalidRequest, match=f"^hw_cpu_policy='{image}'.*={flavor}$"):
            asked(specs, props)
    else:
        mask = {"hw:cpu_dedicated_mask": "0-3"} if policy == "mixed" else {}
        assert asked(specs | mask, props).cpu_policy == policy


# ---- what is granted, to a flavor of 8 vCPUs and 512 MiB ----

# The requirement; extra specs, without their `hw:`; image properties, without their `hw_`; and of
# the request what matters, `/` between guest cells and `-` where there is nothing.
GRANTED = """
R2 only PCPU   | resources:PCPU=8 | | cpu_policy=dedicated dedicated=0-7
R2 only VCPU   | resources:VCPU=8 | | cpu_policy=shared shared=-
R2 neither     | | | cpu_policy=shared shared=- memory=-
R2 neither, but nodes | numa_nodes=2 | | cpu_policy=shared shared=0-3/4-7
R2 neither, but pages | mem_page_size=any | | cpu_policy=shared shared=0-7
R2 both        | resources:VCPU=2 resources:PCPU=6 | | cpu_policy=mixed shared=0-1 dedicated=2-7
R2 zero PCPU   | resources:VCPU=8 resources:PCPU=0 | | cpu_policy=shared shared=-
R2 zero VCPU   | resources:VCPU=0 resources:PCPU=8 | | cpu_policy=dedicated dedicated=0-7
R3 isolate     | resources:PCPU=9 isolate | | dedicated=0-7 emulator_threads_policy=isolate
R3 isolate     | resources:PCPU=6 resources:VCPU=3 isolate | | shared=0-2 dedicated=3-7
R3 groups      | resources1:PCPU=2 resources2:PCPU=6 | | cpu_policy=dedicated dedicated=0-7
R3 groups      | resources1:PCPU=2 resources:PCPU=3 resources_a-b:VCPU=3 | | shared=0-2
R4 a mask      | mixed cpu_dedicated_mask=0-3,7 | | shared=4-6 dedicated=0-3,7
R4 all but     | mixed cpu_dedicated_mask=^0-1 | | shared=0-1 dedicated=2-7
R4 all but two | mixed cpu_dedicated_mask=^0,^7 | | shared=0,7 dedicated=1-6
R4 exclusion   | mixed cpu_dedicated_mask=0-7,^3 | | shared=3 dedicated=0-2,4-7
R4 on two nodes | mixed cpu_dedicated_mask=4-7 numa_nodes=2 | | shared=0-3/ dedicated=/4-7
R5 realtime    | mixed realtime cpu_realtime_mask=^0-1 | | dedicated=2-7 realtime=2-7 shared=0-1
R5 image wins | mixed realtime cpu_realtime_mask=^0-1 | cpu_realtime_mask=5 | dedicated=5 realtime=5
R5 image asks  | mask | mixed | cpu_policy=mixed dedicated=0-3
R5 mask is not enough | mixed mask cpu_realtime_mask=7 | | dedicated=0-3 realtime=
R6 one left out | dedicated realtime cpu_realtime_mask=^0 | | dedicated=0-7 realtime=1-7
R6 all, shared emulator   | dedicated realtime share | | realtime=0-7
R6 all, isolated emulator | dedicated realtime isolate | | realtime=0-7
R6 of the dealt | resources:VCPU=2 resources:PCPU=6 realtime cpu_realtime_mask=2,7 | | realtime=2,7
R9 prefer      | dedicated cpu_thread_policy=prefer | | cpu_thread_policy=prefer
R9 by image    | dedicated | cpu_thread_policy=isolate | cpu_thread_policy=isolate
R9 both agree  | dedicated cpu_thread_policy=require | cpu_thread_policy=require | shared=
R9 mixed       | mixed mask cpu_thread_policy=isolate | | cpu_thread_policy=isolate
R9 small pages | mem_page_size=small | | page_size=small
R9 KiB         | mem_page_size=2048 | | page_size=2048
R9 MB          | mem_page_size=2MB | | page_size=2048
R9 GiB         | mem_page_size=1GiB | | page_size=1048576
R9 image chooses | mem_page_size=any | mem_page_size=2MB | page_size=2048
R9 image chooses | mem_page_size=large | mem_page_size=4 | page_size=4
R10 required   | dedicated trait:HT=required | | cpu_thread_policy=require
R10 forbidden  | dedicated trait:HT=forbidden | | cpu_thread_policy=isolate
R10 by image   | dedicated | trait:HT=required | cpu_thread_policy=require
R10 twice      | dedicated trait2:HT=required | trait:HT=required | cpu_thread_policy=require
R13 share, shared | share | | cpu_policy=shared emulator_threads_policy=share
R13 not set    | mixed mask | | emulator_threads_policy=-
R13 mixed      | mixed mask isolate | | emulator_threads_policy=isolate
other keys     | dedicated watchdog=x quota:cpu_quota=5 | os_type=linux | cpu_policy=dedicated
""".replace(":HT", ":HW_CPU_HYPERTHREADING")


@pytest.mark.parametrize("row", GRANTED.strip().splitlines(), ids=str)
def test_what_is_granted(row: str) -> None:
    _, specs, props, expected = read_row(row)
    found = shown_request(asked(specs, props))
    wanted = dict(pair.split("=") for pair in expected.split())
    assert {name: found[name] for name in wanted} == wanted


# ---- what is refused ----

# The requirement, extra specs, image properties, the key that the message names, words of it.
REFUSED = """
R1  | cpu_policy=Dedicated | | hw:cpu_policy | one of dedicated, mixed, shared
R1  | | cpu_policy=0 | hw_cpu_policy | one of dedicated, mixed, shared
R2  | dedicated resources:PCPU=8 | | resources:PCPU | no such key together with hw:cpu_policy
R2  | cpu_policy=shared resources:VCPU=8 | | resources:VCPU | no such key together with
R2  | mixed mask resources2:VCPU=8 | | resources2:VCPU | no such key together with hw:cpu_policy
R2  | resources:PCPU=8 | dedicated | resources:PCPU | no such key together with hw_cpu_policy
R3  | resources:PCPU=7 | | resources:PCPU | 8 in all: 8 vCPUs of the flavor
R3  | resources:VCPU=9 | | resources:VCPU | 8 in all
R3  | resources:PCPU=5 resources:VCPU=4 | | resources:PCPU+resources:VCPU | 8 in all
R3  | resources:PCPU=8 isolate | | resources:PCPU | 9 in all: 8 vCPUs of the flavor and 1 PCPU for
R3  | resources:PCPU=1 resources:VCPU=8 isolate | | resources:PCPU | at least 2
R3  | resources1:PCPU=4 resources2:PCPU=3 | | resources:PCPU | 8 in all
R3  | resources:PCPU=many | | resources:PCPU | a whole number, at least 0
R3  | resources1:PCPU=-1 resources:PCPU=9 | | resources1:PCPU | a whole number, at least 0
R4  | mixed cpu_dedicated_mask=0-7 | | hw:cpu_dedicated_mask | some vCPU of 0-7 left out
R4  | mixed cpu_dedicated_mask=^0-7 | | hw:cpu_dedicated_mask | a set of vCPUs out of 0-7
R4  | mixed cpu_dedicated_mask=7-8 | | hw:cpu_dedicated_mask | a set of vCPUs out of 0-7
R4  | mixed cpu_dedicated_mask= | | hw:cpu_dedicated_mask | a set of vCPUs out of 0-7
R4  | mixed cpu_dedicated_mask=0,,1 | | hw:cpu_dedicated_mask | '' in '0,,1'
R4  | dedicated mask | | hw:cpu_dedicated_mask | not the policy dedicated
R4  | cpu_policy=shared mask | | hw:cpu_dedicated_mask | not the policy shared
R4  | mask | | hw:cpu_dedicated_mask | hw:cpu_policy=mixed
R4  | mask resources:VCPU=4 resources:PCPU=4 | | hw:cpu_dedicated_mask | not resources:PCPU=4
R5  | mixed | | hw:cpu_dedicated_mask | either this mask or hw:cpu_realtime=yes
R5  | mixed mask realtime cpu_realtime_mask=4-7 | | hw:cpu_dedicated_mask | either this mask or
R5  | mixed mask realtime | | hw:cpu_dedicated_mask | either this mask or
R5  | | mixed | hw:cpu_dedicated_mask | either this mask or
R5  | | mixed mask | hw:cpu_dedicated_mask | either this mask or
R5  | mixed cpu_realtime_mask=4-7 | | hw:cpu_dedicated_mask | either this mask or
R5  | mixed realtime | | hw:cpu_realtime | some vCPU of 0-7 left out
R5  | mixed realtime | cpu_realtime_mask=0-7 | hw_cpu_realtime_mask | some vCPU of 0-7 left out
R6  | cpu_policy=shared realtime cpu_realtime_mask=0 | | hw:cpu_realtime_mask | but 0 are shared
R6  | cpu_policy=shared realtime | | hw:cpu_realtime | dedicated vCPUs only, but 0-7 are shared
R6  | resources:VCPU=2 resources:PCPU=6 realtime | cpu_realtime_mask=1 | hw_cpu_realtime_mask | but
R6  | dedicated realtime | | hw:cpu_realtime | a vCPU left out
R6  | dedicated realtime cpu_realtime_mask=0-7 | | hw:cpu_realtime_mask | or hw:emulator
R6  | dedicated realtime cpu_realtime_mask=8 | | hw:cpu_realtime_mask | a set of vCPUs out of 0-7
R6  | dedicated cpu_realtime=maybe | | hw:cpu_realtime | yes or no
R9  | dedicated cpu_thread_policy=x | | hw:cpu_thread_policy | one of prefer, isolate, require
R9  | cpu_thread_policy=require | | hw:cpu_thread_policy | dedicated CPUs with it
R9  | cpu_thread_policy=prefer | | hw:cpu_thread_policy | dedicated CPUs with it
R9  | | cpu_thread_policy=isolate | hw_cpu_thread_policy | dedicated CPUs with it
R9  | dedicated cpu_thread_policy=isolate | cpu_thread_policy=require | hw_cpu_thread_policy | as
R9  | mem_page_size=huge | | hw:mem_page_size | small, large, any or a size
R9  | mem_page_size=0 | | hw:mem_page_size | small, large, any or a size
R9  | mem_page_size=-2MB | | hw:mem_page_size | small, large, any or a size
R9  | | mem_page_size=2MB | hw_mem_page_size | unless the flavor has hw:mem_page_size=any
R9  | mem_page_size=small | mem_page_size=2MB | hw_mem_page_size | unless the flavor has
R9  | mem_page_size=any | mem_page_size=2XB | hw_mem_page_size | small, large, any or a size
R10 | dedicated cpu_thread_policy=require trait:HT=required | | trait:HT | the thread policy require
R10 | dedicated trait:HT=required traitA:HT=forbidden | | traitA:HT | the thread policy require
R10 | dedicated trait:HT=maybe | | trait:HT | one of required, forbidden
R10 | trait1:HT=forbidden | | trait1:HT | dedicated CPUs with it
R13 | cpu_policy=shared isolate | | hw:emulator_threads_policy | dedicated CPUs with it
R13 | isolate | | hw:emulator_threads_policy | dedicated CPUs with it, but the policy is shared
R13 | dedicated emulator_threads_policy=no | | hw:emulator_threads_policy | one of isolate, share
""".replace(":HT", ":HW_CPU_HYPERTHREADING")


@pytest.mark.parametrize("row", REFUSED.strip().splitlines(), ids=str)
def test_what_is_refused_names_key_value_and_what_was_expected(row: str) -> None:
    _, specs, props, key_and_words = read_row(row)
    key, words = key_and_words.split(" | ")
    with pytest.raises(InvalidRequest) as caught:
        asked(specs, props)
    assert caught.value.key == key
    assert words in str(caught.value)
    check_error(caught.value, {**specs, **props})


def check_error(error: InvalidRequest, values: Mapping[str, object]) -> None:
    """The key is one that was given, or one that is missing, or the sum of some."""
    message = str(error)
    assert message.startswith((f"{error.key}=", f"{error.key} is not set: "))
    assert ": expected " in message
    assert len(message) < 600
    if error.key in values and not error.key.startswith("resources"):
        assert message.startswith(f"{error.key}={repr(values[error.key])[:97]}")
    else:
        known = ("hw:numa_cpus.", "hw:numa_mem.", "hw:cpu_dedicated_mask", "resources")
        assert error.key.startswith(known), message


# ---- whatever else is said ----

# Every key that means something, with what else must be said for it to mean something.
KEYS = """
cpu_policy | |
cpu_dedicated_mask | mixed |
cpu_realtime | dedicated |
cpu_realtime_mask | dedicated realtime | cpu_realtime_mask
cpu_thread_policy | dedicated | cpu_thread_policy
emulator_threads_policy | dedicated |
numa_nodes | dedicated | numa_nodes
numa_cpus.1 | dedicated numa_nodes=2 numa_cpus.0=0-3 numa_mem.0=256 numa_mem.1=256 |
numa_mem.1 | dedicated numa_nodes=2 numa_cpus.0=0-3 numa_cpus.1=4-7 numa_mem.0=256 |
mem_page_size | dedicated |
resources:PCPU | |
resources7:VCPU | |
trait:HW_CPU_HYPERTHREADING | dedicated | trait:HW_CPU_HYPERTHREADING
"""
MEANINGFUL = {
    key if ":" in key else f"hw:{key}": specs
    for key, specs, _, _ in (read_row(f"{row} |") for row in KEYS.strip().splitlines())
}
IMAGE_KEYS = ["hw_cpu_policy", "hw_cpu_thread_policy", "hw_cpu_realtime_mask", "hw_numa_nodes"]

VALUES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    st.text("0123456789-,^ ", max_size=6),
    st.integers(-2, 9).map(str),
    st.sampled_from(
        [
            *("dedicated", "mixed", "shared", "isolate", "share", "prefer", "require", "required"),
            *("forbidden", "yes", "no", "small", "large", "any", "2MB", "0-7", "^0", "4-7", "0x1"),
            *("9" * 30, "0-" + "9" * 30, "٣", "1_0", "+1", " 1", "1 ", "x" * 3000),
        ]
    ),
)


@pytest.mark.parametrize("key", MEANINGFUL)
@given(value=VALUES)
@QUICK
def test_a_bad_value_of_any_key_is_told_with_its_key(key: str, value: str) -> None:
    values = {**MEANINGFUL[key], key: value}
    try:
        check_sound(asked(values), 8)
    except InvalidRequest as error:
        check_error(error, values)


@THOROUGH
@given(
    st.dictionaries(st.sampled_from(sorted(MEANINGFUL)), VALUES, max_size=6),
    st.dictionaries(st.sampled_from(IMAGE_KEYS), VALUES, max_size=2),
    st.integers(1, 12),
)
def test_any_flavor_and_image_are_a_sound_request_or_an_error(
    specs: dict[str, str], props: dict[str, str], vcpus: int
) -> None:
    try:
        check_sound(asked(specs, props, vcpus=vcpus, memory_mb=vcpus), vcpus)
    except InvalidRequest as error:
        check_error(error, {**specs, **props})


def check_sound(wanted: Request, vcpus: int) -> None:
    """What every request keeps, whatever was asked for."""
    shared = [cpu for cell in wanted.cells for cpu in cell.shared]
    dedicated = [cpu for cell in wanted.cells for cpu in cell.dedicated]
    if wanted.cells:
        assert sorted(shared + dedicated) == list(range(vcpus)), "each vCPU is on one node"
        assert sum(cell.memory_mb for cell in wanted.cells) == wanted.memory_mb
        assert [cell.id for cell in wanted.cells] == list(range(len(wanted.cells)))
        kinds = {"dedicated": (False, True), "shared": (True, False), "mixed": (True, True)}
        assert (bool(shared), bool(dedicated)) == kinds[wanted.cpu_policy]
    else:
        assert wanted.cpu_policy == "shared"
    assert wanted.realtime <= CpuSet.of(dedicated)
    if wanted.cpu_policy == "shared":
        assert wanted.cpu_thread_policy is None
        assert not wanted.isolated_emulator


# ---- the forms ----


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"vcpus": 0, "memory_mb": 1}, "vcpus: "),
        ({"vcpus": 4097, "memory_mb": 1}, "vcpus: "),
        ({"vcpus": True, "memory_mb": 1}, "vcpus: "),
        ({"vcpus": 10**30, "memory_mb": 1}, "vcpus: "),
        ({"vcpus": 1, "memory_mb": 0}, "memory_mb: "),
        ({"vcpus": 1}, "memory_mb: required, but missing"),
        ({"memory_mb": 1}, "vcpus: required, but missing"),
        ({"vcpus": 1, "memory_mb": 1, "ram": 1}, "ram: no such field"),
        ({"vcpus": 1, "memory_mb": 1, "name": None}, "name: "),
        ({"vcpus": 1, "memory_mb": 1, "extra_specs": []}, "extra_specs: "),
        ({"vcpus": 1, "memory_mb": 1, "extra_specs": {"a:x": None}}, "extra_specs.a:x: expected"),
        ({"vcpus": 1, "memory_mb": 1, "extra_specs": {"a:x": 1.5}}, "extra_specs.a:x: expected"),
        ({"vcpus": 1, "memory_mb": 1, "extra_specs": {"a:x": [1]}}, "extra_specs.a:x: expected"),
    ],
)
def test_a_wrong_flavor_names_the_field(form: object, field: str) -> None:
    with pytest.raises(BadInput) as error:
        from_builtins(form, Flavor)
    assert str(error.value).startswith(field)


@pytest.mark.parametrize("value", [None, 0.5, {}, [1]])
def test_a_wrong_image_names_the_property(value: object) -> None:
    with pytest.raises(BadInput, match=r"^properties\.hw_x: expected text, a whole number"):
        from_builtins({"properties": {"hw_x": value}}, Image)


def test_numbers_and_booleans_mean_their_usual_spelling() -> None:
    by_json = asked({"hw:cpu_policy": "dedicated", "hw:numa_nodes": 2, "hw:cpu_realtime": False})
    texts = {"hw:cpu_policy": "dedicated", "hw:numa_nodes": "2", "hw:cpu_realtime": "false"}
    assert by_json == asked(texts)
