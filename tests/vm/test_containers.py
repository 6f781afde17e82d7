"""Containers of Docker, podman and systemd-nspawn beside a pool, in it; mdguest inside of one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from tests.vm.machine import Machine
from tests.vm.tool import LAYOUT, SLOW, Guest, until

BOX = "/var/box"
MAKE_BOX = f"""
set -e
mkdir -p {BOX}/bin {BOX}/dev {BOX}/etc {BOX}/opt {BOX}/proc {BOX}/run {BOX}/sys {BOX}/tmp {BOX}/usr
cp /bin/busybox {BOX}/bin/
ln -s busybox {BOX}/bin/sh
touch {BOX}/etc/layout
ln -s usr/lib {BOX}/lib
ln -s usr/lib64 {BOX}/lib64
"""
"""A root directory with little in it."""
SLEEP = "/bin/busybox sleep inf"
PODMAN = "podman --storage-driver=vfs"
DOCKER = {"storage-driver": "vfs", "bridge": "none", "iptables": False, "ip6tables": False}
RUNTIMES = {PODMAN: f"--rootfs {BOX}", "docker": "--security-opt apparmor=unconfined box"}
"""Each, and what a container of it is made of."""
each_runtime = pytest.mark.parametrize("runtime", RUNTIMES, ids=["podman", "docker"])


@pytest.fixture(scope="module")
def guest(suite: str, pyz: bytes) -> Iterator[Guest]:
    """With a dockerd that has seen all CPUs when it was started."""
    with Machine(suite, memory=1024) as machine:
        guest = Guest(machine, pyz)
        guest.run(MAKE_BOX)
        machine.put("/etc/docker/daemon.json", json.dumps(DOCKER))
        guest.run(f"systemctl start docker && tar -C {BOX} -c . | docker import - box")
        guest.run("systemctl start machine.slice")  # which the first container would, and it stays
        yield guest


@contextlib.contextmanager
def contained(guest: Guest, runtime: str, flags: str) -> Iterator[int]:
    """A container; the process id of its program."""
    run = f"{runtime} run --detach --network=host --name box {flags} {RUNTIMES[runtime]} {SLEEP}"
    guest.run(run)
    try:
        yield int(guest.run(f"{runtime} inspect --format '{{{{.State.Pid}}}}' box"))
    finally:
        guest.run(f"{runtime} kill box; {runtime} rm --force box")


@each_runtime
def test_one_that_had_its_cpuset_before_is_named(guest: Guest, runtime: str) -> None:
    with guest.undone(), contained(guest, runtime, "--cpuset-cpus=2-3") as pid:
        assert guest.affinity(pid) == "2-3"
        guest.apply("2-3")
        assert guest.affinity(pid) == "0-1"
        [(where, cpus)] = guest.displaced.items()
        assert (where.startswith(("libpod-", "docker-")), cpus) == (True, "2-3")
        [mend] = [who["mend"] for who in guest.json("status")["displaced"]]
        assert mend.startswith("start the container with --cgroup-parent=dedicated.slice")
        assert ("without --cpuset-cpus" in mend) == (runtime == "docker")


@pytest.fixture(scope="module")
def isolated(guest: Guest) -> Iterator[Guest]:
    with guest.undone():
        guest.apply("2-3")
        yield guest


@each_runtime
def test_below_the_slice_it_is_on_dedicated_cpus(isolated: Guest, runtime: str) -> None:
    with contained(isolated, runtime, "--cgroup-parent=dedicated.slice") as pid:
        assert isolated.affinity(pid) == "2-3"
        assert (isolated.problems, isolated.displaced) == ([], {})


@each_runtime
def test_without_a_wish_it_is_on_shared_cpus_and_nobody_minds(
    isolated: Guest, runtime: str
) -> None:
    with contained(isolated, runtime, "") as pid:
        assert isolated.affinity(pid) == "0-1"
        assert (isolated.problems, isolated.displaced) == ([], {})


def test_one_that_comes_later_with_a_cpuset_is_named(isolated: Guest) -> None:
    with contained(isolated, PODMAN, "--cpuset-cpus=2-3"):
        [(where, cpus)] = isolated.displaced.items()
        assert (where.startswith("libpod-"), cpus) == (True, "2-3")


def test_docker_refuses_such_a_one_or_it_is_named(isolated: Guest, suite: str) -> None:
    """Docker 20.10 (Debian 12) looks each time which CPUs there are; later ones, at their start."""
    command = f"docker run --rm --network=host --cpuset-cpus=2-3 {RUNTIMES['docker']}"
    if suite == "bookworm":
        done = isolated.machine.run(f"{command} true", check=False, timeout=SLOW)
        assert "Requested CPUs are not available" in done.stderr
    else:
        with contained(isolated, "docker", "--cpuset-cpus=2-3"):
            assert list(isolated.displaced.values()) == ["2-3"]


def test_nspawn_with_a_cpuset_is_named(isolated: Guest) -> None:
    command = f"systemd-nspawn --quiet --directory={BOX} --machine=box --property=AllowedCPUs=3"
    with isolated.spawned(f"exec {command} {SLEEP}"):
        until(lambda: isolated.displaced in ({"machine-box.scope": "3"}, {"box.scope": "3"}))
        [mend] = [who["mend"] for who in isolated.json("status")["displaced"]]
        assert mend == "start it with systemd-nspawn --slice=dedicated.slice"
    isolated.run("machinectl terminate box", check=False)


BINDS = "--bind-ro=/usr --bind-ro=/opt"
MOUNTS = "--volume=/usr:/usr:ro --volume=/opt:/opt:ro"
PLAN = f"/usr/bin/mdguest apply --source file:{LAYOUT}"


def test_inside_of_a_container_it_says_what_is_the_hosts(guest: Guest) -> None:
    guest.machine.put(f"{BOX}/etc/layout", "2-3")
    before = guest.look().values
    inside = f"{PODMAN} run --rm --network=host {MOUNTS} --rootfs {BOX} {PLAN}"
    done = guest.machine.run(inside, check=False, timeout=180)
    assert done.code == 3
    assert "this is a container (podman) that may not divide its CPUs" in done.stderr
    inside = f"systemd-nspawn --quiet --pipe --machine=inner --directory={BOX} {BINDS} {PLAN}"
    done = guest.machine.run(inside, check=False, timeout=180)
    assert "a container (systemd-nspawn)" in done.stdout + done.stderr
    assert guest.look().values == before
