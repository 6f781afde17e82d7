"""Files for a Kubernetes node, read as the kubelet, CRI-O and nfd-worker read them."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace

import pytest
import yaml  # type: ignore[import-untyped]  # has no types of its own
from hypothesis import given
from mdguest.cpuset import CpuSet
from mdguest.facts.kubernetes import KUBELETS, Kubelet
from mdguest.render import Split, render

from tests.guest.render.consumers import arguments_file, feature_file
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


@FEW
@given(cpus=splits())
def test_the_system_partition_is_left_out_until_it_is_wanted_and_then_is_the_shared_cpus(
    cpus: Split,
) -> None:
    text = render("kubelet", cpus)
    assert "systemPartition" not in yaml.safe_load(text)
    start = text.index("# featureGates:")
    end = text.index("\n", text.index("#   namespaces:"))
    block = yaml.safe_load("\n".join(line[2:] for line in text[start:end].splitlines()))
    assert block["featureGates"] == {"NodeSystemPartition": True}
    partition = block["systemPartition"]
    assert partition["namespaces"] == ["kube-system"]
    assert CpuSet.parse(partition["cpuset"]) == cpus.housekeeping
    assert partition.keys() == {"cpuset", "namespaces"}


def of(unit: str) -> Split:
    [kubelet] = [kubelet for kubelet in KUBELETS if kubelet.unit == unit]
    return replace(split("1,3", "0,2", "0-1", "2-3"), kubelets=(kubelet,))


SETTINGS = {
    "cpuManagerPolicy": "static",
    "reservedSystemCPUs": "0,2",
    "topologyManagerPolicy": "best-effort",
}
FLAGS = ["cpu-manager-policy=static", "reserved-cpus=0,2", "topology-manager-policy=best-effort"]


@pytest.mark.parametrize("kubelet", KUBELETS, ids=lambda kubelet: kubelet.unit)
def test_each_kubelet_is_told_in_its_own_file_and_way(kubelet: Kubelet) -> None:
    text = render("kubelet", of(kubelet.unit))
    assert re.search(rf"^# Put it in: ({re.escape(kubelet.drop_ins)}|a shell)", text, re.MULTILINE)
    assert f"systemctl stop {kubelet.unit.removesuffix('.service')}; rm {kubelet.state};" in text
    if kubelet.form == "snap":
        assert text.splitlines()[-1].split() == ["snap", "set", "kubelet", *FLAGS]
    elif kubelet.form == "arguments":
        assert arguments_file(text) == [f"--{flag}" for flag in FLAGS]
    else:
        loaded = yaml.safe_load(text)
        if kubelet.form == "profile":
            [profile] = loaded["spec"]["workerProfiles"]
            assert f"--profile={profile['name']}" in text
            loaded = profile["values"]
        loaded = loaded["kubelet"] if kubelet.form == "section" else loaded
        assert {name: loaded[name] for name in SETTINGS} == SETTINGS


DRIVER_CONFIG = {
    "apiVersion": {"v1alpha1"},
    "cpuDeviceMode": {"grouped", "individual"},
    "groupBy": {"numanode", "socket", "machine"},
}
"""dra-driver-cpu 0.2, driverconfig.schema.json: other fields are refused."""


@FEW
@given(cpus=splits())
def test_the_driver_of_cpu_claims_reserves_exactly_the_shared_cpus(cpus: Split) -> None:
    config = yaml.safe_load(render("dra-driver-cpu", cpus))["driverConfig"]
    reserved = config.pop("reservedCPUs")
    assert type(reserved) is str
    assert CpuSet.parse(reserved) == cpus.housekeeping
    assert all(value in DRIVER_CONFIG[name] for name, value in config.items())


def test_the_driver_s_scheduler_counts_the_cpus_of_exempt_slices_out_too() -> None:
    cpus = replace(split("2-5", "0-1"), exempt={"ovs.slice": CpuSet.parse("2-3")})
    text = render("dra-driver-cpu", cpus)
    assert yaml.safe_load(text)["driverConfig"]["reservedCPUs"] == "0-3"
    assert "systemReserved together should be cpu: 4." in text


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
