"""What a flavor and an image ask of Placement by name is in the question to it, as from Nova."""

from __future__ import annotations

import pytest

from mdsvc.errors import InvalidRequest
from mdsvc.placing.candidates import candidates
from mdsvc.policy.resource_keys import resource_keys
from tests.strategies import asked, read_row

# The claim; extra specs and image properties as in test_flavor.py, to a flavor of 8 vCPUs and
# 512 MiB; and the query.
QUERIES = """
nothing by name | | | resources=VCPU:8,MEMORY_MB:512
another class | resources:CUSTOM_X=1 resources:VGPU=2 | | resources=VCPU:8,MEMORY_MB:512,CUSTOM_X:1,VGPU:2
a disk | dedicated resources:DISK_GB=20 | | resources=PCPU:8,MEMORY_MB:512,DISK_GB:20
the memory in another's place | resources:MEMORY_MB=1024 | | resources=VCPU:8,MEMORY_MB:1024
no memory | resources:MEMORY_MB=0 | | resources=VCPU:8
memory of a group | resources1:MEMORY_MB=256 | | resources=VCPU:8&resources1=MEMORY_MB:256
no VCPU, as of bare metal | resources:VCPU=0 resources:CUSTOM_BAREMETAL=1 | | resources=MEMORY_MB:512,CUSTOM_BAREMETAL:1
no PCPU is no matter | resources:PCPU=0 | | resources=VCPU:8,MEMORY_MB:512
no VCPU beside a policy | dedicated resources:VCPU=0 | | resources=PCPU:8,MEMORY_MB:512
no VCPU beside a mask | mixed cpu_dedicated_mask=0-2 resources:VCPU=0 | | resources=PCPU:3,VCPU:5,MEMORY_MB:512
a zero is left out | resources:VGPU=0 | | resources=VCPU:8,MEMORY_MB:512
CPUs of groups | resources1:PCPU=5 resources_b:VCPU=3 group_policy:=none | | resources=MEMORY_MB:512&resources1=PCPU:5&resources_b=VCPU:3&group_policy=none
a group | resources1:VGPU=1 trait1:CUSTOM_Y=required | | resources=VCPU:8,MEMORY_MB:512&resources1=VGPU:1&required1=CUSTOM_Y
two groups | resources1:VGPU=1 resources2:VGPU=1 group_policy:=isolate | | resources=VCPU:8,MEMORY_MB:512&resources1=VGPU:1&resources2=VGPU:1&group_policy=isolate
a policy without groups | group_policy:=none | | resources=VCPU:8,MEMORY_MB:512&group_policy=none
traits | trait:HW_CPU_X86_AVX2=required trait:CUSTOM_SLOW=forbidden | | resources=VCPU:8,MEMORY_MB:512&required=HW_CPU_X86_AVX2,!CUSTOM_SLOW
an image's traits | trait:B=required | trait:A=required trait:C=forbidden | resources=VCPU:8,MEMORY_MB:512&required=A,B,!C
an image has no groups | | trait1:A=required resources:VGPU=1 | resources=VCPU:8,MEMORY_MB:512
the same from both | trait:A=required | trait:A=required | resources=VCPU:8,MEMORY_MB:512&required=A
siblings, by the policy | dedicated cpu_thread_policy=require trait:A=required | | resources=PCPU:8,MEMORY_MB:512&required=A,HW_CPU_HYPERTHREADING
siblings of a group | resources1:PCPU=8 trait1:HW_CPU_HYPERTHREADING=required | | resources=MEMORY_MB:512&resources1=PCPU:8&required1=HW_CPU_HYPERTHREADING
siblings, all in a group | resources1:PCPU=8 resources1:MEMORY_MB=512 cpu_thread_policy=require | | resources1=PCPU:8,MEMORY_MB:512&required1=HW_CPU_HYPERTHREADING
isolate forbids nothing | dedicated trait:HW_CPU_HYPERTHREADING=forbidden | | resources=PCPU:8,MEMORY_MB:512
""".strip().splitlines()  # noqa: E501 - one row, one line

REFUSED = """
no number | resources:VGPU=one | | resources:VGPU='one': expected a whole number, at least 0
less than none | resources1:CUSTOM_X=-1 | | resources1:CUSTOM_X='-1': expected a whole number, at least 0
another word | trait:A=maybe | | trait:A='maybe': expected one of required, forbidden
an image's word | | trait:A=1 | trait:A='1': expected one of required, forbidden
another policy | group_policy:=some | | group_policy='some': expected one of none, isolate
no class's name | resources:vgpu=1 | | resources:vgpu='1': expected a name of capital letters, digits and _ behind the colon
two in one | resources:A:1,B=1 | | resources:A:1,B='1': expected a name of capital letters, digits and _ behind the colon
no policy | resources1:VGPU=1 resources2:VGPU=1 | | group_policy is not set: expected none or isolate, as there are the groups 1, 2
a trait of nothing | trait1:A=required | | trait1:A='required': expected resources1: above 0 with it: a group has traits of what it takes
a trait of a zero | resources1:VGPU=0 trait1:A=required | | trait1:A='required': expected resources1: above 0 with it: a group has traits of what it takes
both | trait:A=forbidden | trait:A=required | trait:A='forbidden': expected not both required and forbidden
nothing at all | resources:VCPU=0 resources:MEMORY_MB=0 | | resources:MEMORY_MB='0': expected some resource left to ask for
""".strip().splitlines()  # noqa: E501 - one row, one line


def query(row: str) -> tuple[str, str]:
    """What is asked and what is expected; `group_policy` is written with a colon in the rows."""
    _, specs, props, expected = read_row(row)
    specs = {key.removesuffix(":"): value for key, value in specs.items()}
    return candidates(asked(specs, props), resource_keys(specs, props)).query, expected


@pytest.mark.parametrize("row", QUERIES, ids=lambda row: row.partition(" |")[0])
def test_the_question_is_as_from_nova(row: str) -> None:
    found, expected = query(row)
    assert found == f"/allocation_candidates?{expected}"


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.partition(" |")[0])
def test_what_placement_would_not_take_is_refused_by_its_key(row: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        query(row)
    assert str(error.value) == read_row(row)[3]


def test_amounts_and_traits_of_all_groups_are_told_together() -> None:
    specs = {
        "resources1:VGPU": "1",
        "resources_2:VGPU": "2",
        "group_policy": "none",
        "trait1:B": "required",
        "trait:A": "required",
        "trait_2:C": "forbidden",
    }
    found = candidates(asked(specs, {}), resource_keys(specs, {}))
    assert found.resources == {"VCPU": 8, "MEMORY_MB": 512, "VGPU": 3}
    assert (found.required, found.forbidden) == (["A", "B"], ["C"])
