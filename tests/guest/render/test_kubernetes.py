"""Files for a Kubernetes node, read as the kubelet, CRI-O and nfd-worker read them."""

from __future__ import annotations

import tomllib

import yaml  # type: ignore[import-untyped]  # has no types of its own
from hypothesis import given
from mdguest.cpuset import CpuSet
from mdguest.render import Split, render

from tests.guest.render.consumers import feature_file
from tests.guest.render.splits import FEW, split, splits

FIELDS = {
    "apiVersion": {"kubelet.config.k8s.io/v1beta1"},
    "kind": {"KubeletConfiguration"},
    "cpuManagerPolicy": {"none", "static"},
    "topologyManagerPolicy": {"none", "best-effort", "restricted", "single-numa-node"},
}
"""Of kubelet.config.k8s.io/v1beta1: fields of type string, and what the kubelet lets them be."""


def kubelet(cpus: Split) -> dict[str, str]:
    loaded = yaml.safe_load(render("kubelet", cpus))
    assert all(type(value) is str for value in loaded.values()), "no number for a string field"
    reserved = loaded.pop("reservedSystemCPUs")
    assert all(loaded[field] in FIELDS[field] for field in loaded)
    return {**loaded, "reservedSystemCPUs": reserved}


@FEW
@given(cpus=splits())
def test_the_kubelet_reserves_exactly_the_shared_cpus(cpus: Split) -> None:
    settings = kubelet(cpus)
    assert CpuSet.parse(settings["reservedSystemCPUs"]) == cpus.housekeeping
    assert settings["cpuManagerPolicy"] == "static"


@FEW
@given(cpus=splits())
def test_each_drop_in_says_what_it_is_or_the_kubelet_would_not_start(cpus: Split) -> None:
    assert kubelet(cpus).keys() >= {"apiVersion", "kind"}


def test_a_single_reserved_cpu_stays_a_string() -> None:
    assert kubelet(split("1-3", "0"))["reservedSystemCPUs"] == "0"


def test_the_topology_manager_is_set_only_where_there_are_numa_nodes() -> None:
    assert "topologyManagerPolicy" not in kubelet(split("2-3", "0-1", "0-3"))
    two = kubelet(split("1,3", "0,2", "0-1", "2-3"))
    assert two["topologyManagerPolicy"] == "best-effort"


@FEW
@given(cpus=splits())
def test_crio_runs_its_own_containers_on_the_kubelets_reserved_cpus(cpus: Split) -> None:
    runtime = tomllib.loads(render("crio", cpus))["crio"]["runtime"]
    assert runtime["infra_ctr_cpuset"] == kubelet(cpus)["reservedSystemCPUs"]
    assert not CpuSet.parse(runtime["shared_cpuset"]) & cpus.dedicated
    assert runtime.keys() == {"infra_ctr_cpuset", "shared_cpuset"}


@FEW
@given(cpus=splits())
def test_labels_are_ones_that_the_kubernetes_api_takes(cpus: Split) -> None:
    labels = feature_file(render("nfd", cpus))
    assert labels["feature.node.kubernetes.io/dedicated-cpu.count"] == str(len(cpus.dedicated))
    assert all(name.startswith("feature.node.kubernetes.io/") for name in labels)


def test_labels_name_the_cpus_without_a_comma_and_leave_out_a_list_too_long() -> None:
    short = feature_file(render("nfd", split("2-3,5", "0-1,4", "0-2", "3-5")))
    assert short["feature.node.kubernetes.io/dedicated-cpu.list"] == "2-3_5"
    assert short["feature.node.kubernetes.io/dedicated-cpu.numa-nodes"] == "2"
    odd = ",".join(str(cpu) for cpu in range(1, 99, 2))
    long = feature_file(render("nfd", split(odd, "0")))
    assert "feature.node.kubernetes.io/dedicated-cpu.list" not in long
    assert long["feature.node.kubernetes.io/dedicated-cpu.count"] == "49"
