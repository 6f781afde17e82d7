"""Containers without Kubernetes: a shell's variable, a Quadlet drop-in, a compose file."""

from __future__ import annotations

import configparser

import yaml  # type: ignore[import-untyped]  # has no types of its own
from hypothesis import given
from mdguest.render import Split, render

from tests.guest.render.consumers import environment_file, sourced
from tests.guest.render.splits import FEW, splits

PARENT = "dedicated.slice"


@FEW
@given(cpus=splits())
def test_docker_puts_a_container_below_the_slice_and_asks_for_no_cpus(cpus: Split) -> None:
    text = render("docker", cpus)
    assert sourced(text, "DOCKER_ARGS") == f"--cgroup-parent={PARENT}"
    assert environment_file(text) == {"DOCKER_ARGS": f"--cgroup-parent={PARENT}"}


@FEW
@given(cpus=splits())
def test_compose_puts_a_service_s_containers_below_the_slice(cpus: Split) -> None:
    loaded = yaml.safe_load(render("compose", cpus))
    assert loaded == {"services": {"NAME": {"cgroup_parent": PARENT}}}


@FEW
@given(cpus=splits())
def test_podman_s_containers_are_services_of_the_slice(cpus: Split) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(render("podman", cpus))
    assert dict(parser["Service"]) == {"slice": PARENT}
    assert dict(parser["Unit"]) == dict.fromkeys(("requires", "after"), "dedicated-cpus.target")


@FEW
@given(cpus=splits())
def test_each_says_whether_the_kernel_spreads_the_threads(cpus: Split) -> None:
    for name in ("docker", "compose", "podman"):
        assert f'The partition is "{cpus.partition}"' in render(name, cpus)
