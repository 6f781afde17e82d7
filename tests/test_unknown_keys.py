"""R28: a key that nobody knows is told of, with the nearest one that is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.errors import InvalidRequest
from mdsvc.policy import known_keys
from mdsvc.policy.flavor import Flavor, Image
from mdsvc.policy.unknown_keys import UnknownKeys, check, warnings
from tests.strategies import QUICK


def of_flavor(*keys: str) -> list[str]:
    specs = dict.fromkeys(keys, "1")
    return list(warnings(Flavor(vcpus=1, memory_mb=1, extra_specs=specs)))


def of_image(*keys: str) -> list[str]:
    image = Image(properties=dict.fromkeys(keys, "1"))
    return list(warnings(Flavor(vcpus=1, memory_mb=1), image))


FLAVOR = {
    "hw:cpu_polcy": "hw:cpu_policy",
    "hw:cpu_thread_polic": "hw:cpu_thread_policy",
    "hw:emulator_thread_policy": "hw:emulator_threads_policy",
    "hw:dedicated_mask": "hw:cpu_dedicated_mask",
    "hw:cpu_realtime_maks": "hw:cpu_realtime_mask",
    "hw:mem_pagesize": "hw:mem_page_size",
    "hw:CPU_POLICY": "hw:cpu_policy",
    "hw:cpu-policy": "hw:cpu_policy",
    "hw: cpu_policy": "hw:cpu_policy",
    "hw:cpu_policy ": "hw:cpu_policy",
    "hw:cpu_policy\n": "hw:cpu_policy",
    " hw:cpu_policy": "hw:cpu_policy",
    "HW:cpu_policy": "hw:cpu_policy",
    "Hw:numa_node": "hw:numa_nodes",
    "hw::cpu_policy": "hw:cpu_policy",
    "hw.cpu_policy": "hw:cpu_policy",
    "hw_cpu_policy": "hw:cpu_policy",
    "hw_numa_nodes": "hw:numa_nodes",
    "hwcpu_policy": "hw:cpu_policy",
    "wh:cpu_policy": "hw:cpu_policy",
    "hv:cpu_policy": "hw:cpu_policy",
    "cpu_policy": "hw:cpu_policy",
    "hw:numa_cpus": "hw:numa_cpus.N",
    "hw:numa_cpu.1": "hw:numa_cpus.1",
    "hw:numa_cpus.01": "hw:numa_cpus.1",
    "hw:numa_mem.x": "hw:numa_mem.N",
    "hw_numa_mem.0": "hw:numa_mem.0",
    "hw:machine_type": "hw_machine_type, in the image alone",
    "hw:watchdog_actions": "hw:watchdog_action",
    "resource:PCPU": "resources:PCPU",
    "resources:PCPUS": "resources:PCPU",
    "resources1:pcpu": "resources1:PCPU",
    "traist:HW_CPU_HYPERTHREADING": "trait:HW_CPU_HYPERTHREADING",
    "trait:HW_CPU_HYPERTHREADIN": "trait:HW_CPU_HYPERTHREADING",
}
IMAGE = {
    "hw_cpu_polcy": "hw_cpu_policy",
    "hw_cpu_max_thread": "hw_cpu_max_threads",
    "hw_mem_pagesize": "hw_mem_page_size",
    "hw_nuna_nodes": "hw_numa_nodes",
    "hw_cpupolicy": "hw_cpu_policy",
    "hw_numa_cpus": "hw_numa_cpus.N",
    "hw_numa_cpus.x": "hw_numa_cpus.N",
    "hw:cpu_policy": "hw_cpu_policy",
    "hw:machine_type": "hw_machine_type",
    "HW_CPU_POLICY": "hw_cpu_policy",
    "hw-cpu-policy": "hw_cpu_policy",
    "hw_cpu_policy ": "hw_cpu_policy",
    "cpu_policy": "hw_cpu_policy",
    "hw_cpu_dedicated_mask": "hw:cpu_dedicated_mask, in the flavor alone",
    "hw_emulator_threads_policy": "hw:emulator_threads_policy, in the flavor alone",
    "hw_cpu_realtime": "hw:cpu_realtime, in the flavor alone",
}
NEAR_NOTHING = ["hw:", "hw:foo", "hw:" + "x" * 5000]

SILENT_FLAVOR = [
    *(f"hw:{name}" for name in known_keys.OF_FLAVORS),
    *("hw:numa_cpus.0", "hw:numa_mem.127", "hide_hypervisor_id", "group_policy", "ssd"),
    *("hw_rng:allowed", "hw_video:ram_max_mb", "os:secure_boot", "quota:cpu_shares"),
    *(
        "aggregate_instance_extra_specs:cpu_policy",
        "capabilities:cpu_info:features",
        "my:cpu_policy",
    ),
    *("resources:VCPU", "resources_a-b:PCPU", "resources:VGPU", "resources:CUSTOM_PCPU"),
    *("resources:ANYTHING", "trait:HW_CPU_HYPERTHREADING", "trait:HW_CPU_X86_AVX2", "hw_gen"),
]
SILENT_IMAGE = [
    *(f"hw_{name}" for name in known_keys.OF_IMAGES),
    *("hw_numa_cpus.0", "hw_numa_mem.3", "os_distro", "img_version", "architecture", "hw_foo"),
    *("trait:HW_CPU_X86_AVX2", "my_property"),
]


@pytest.mark.parametrize(("key", "nearest"), FLAVOR.items())
def test_of_a_flavor_the_nearest_key_is_named(key: str, nearest: str) -> None:
    [told] = of_flavor(key)
    assert told.endswith(f"='1': expected a key that is known; the nearest is {nearest}")


@pytest.mark.parametrize(("key", "nearest"), IMAGE.items())
def test_of_an_image_the_nearest_key_is_named(key: str, nearest: str) -> None:
    [told] = of_image(key)
    assert told.endswith(f"='1': expected a key that is known; the nearest is {nearest}")


@pytest.mark.parametrize("key", NEAR_NOTHING)
def test_a_key_that_is_near_to_none_is_told_all_the_same(key: str) -> None:
    [told] = of_flavor(key)
    assert told.endswith("='1': expected a key that is known; none is near to it")
    assert len(told) < 250


def test_what_is_known_and_what_is_for_others_to_know_is_taken_in_silence() -> None:
    assert of_flavor(*SILENT_FLAVOR) == []
    assert of_image(*SILENT_IMAGE) == []


def test_each_is_told_of_the_flavor_s_first() -> None:
    flavor = Flavor(vcpus=1, memory_mb=1, extra_specs={"hw:b": 1, "hw:a": True})
    found = warnings(flavor, Image(properties={"hw_cpu_x": "1"}))
    assert [text.partition(":")[0] for text in found] == ["hw", "hw", "hw_cpu_x='1'"]
    assert [text.partition("=")[0] for text in found] == ["hw:a", "hw:b", "hw_cpu_x"]


@pytest.mark.parametrize("unknown_keys", ["warn", "error"])
def test_where_they_are_errors_the_first_is_raised(unknown_keys: UnknownKeys) -> None:
    wrong = Flavor(vcpus=1, memory_mb=1, extra_specs={"hw:cpu_polcy": "dedicated"})
    right = Flavor(vcpus=1, memory_mb=1, extra_specs={"hw:cpu_policy": "dedicated"})
    check(right, None, unknown_keys)
    if unknown_keys == "warn":
        check(wrong, None, unknown_keys)
        return
    with pytest.raises(InvalidRequest, match=r"^hw:cpu_polcy='dedicated': expected a key that is"):
        check(wrong, None, unknown_keys)


@QUICK
@given(st.text(max_size=20) | st.from_regex(r"(hw|resources|trait)[:_].{0,12}", fullmatch=True))
def test_whatever_the_key_is_it_is_one_warning_at_most(key: str) -> None:
    assert len(of_flavor(key)) <= 1
    assert len(of_image(key)) <= 1
    assert not key.startswith("hw:") or key in SILENT_FLAVOR or of_flavor(key)
