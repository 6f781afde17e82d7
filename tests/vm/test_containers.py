"""Containers of podman and systemd-nspawn beside a pool, in it, and mdguest inside of one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.vm.machine import Machine
from tests.vm.tool import LAYOUT, Guest, until

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
RUN = f"{PODMAN} run --detach --network=host --name"


@pytest.fixture(scope="module")
def guest(suite: str, pyz: bytes) -> Iterator[Guest]:
    with Machine(suite, memory=768) as machine:
        guest = Guest(machine, pyz)
        guest.run(MAKE_BOX)
        guest.run("systemctl start machine.slice")  # which the first container would, and it stays
        yield guest


@contextlib.contextmanager
def contained(guest: Guest, name: str, flags: str) -> Iterator[int]:
    """A container of podman's; the process id of its program."""
    guest.run(f"{RUN} {name} {flags} --rootfs {BOX} {SLEEP}")
    try:
        yield int(guest.run(f"{PODMAN} inspect --format '{{{{.State.Pid}}}}' {name}"))
    finally:
        guest.run(f"{PODMAN} rm --force --time 0 {name}")


@pytest.fixture(scope="module")
def isolated(guest: Guest) -> Iterator[Guest]:
    with guest.undone():
        guest.apply("2-3")
        yield guest


def test_podman_below_the_slice_is_on_dedicated_cpus(isolated: Guest) -> None:
    with contained(isolated, "inside", "--cgroup-parent=dedicated.slice") as pid:
        assert isolated.affinity(pid) == "2-3"
        assert (isolated.problems, isolated.displaced) == ([], {})


def test_podman_without_a_wish_is_on_shared_cpus_and_nobody_minds(isolated: Guest) -> None:
    with contained(isolated, "ordinary", "") as pid:
        assert isolated.affinity(pid) == "0-1"
        assert (isolated.problems, isolated.displaced) == ([], {})


def test_podman_with_a_cpuset_elsewhere_is_named(isolated: Guest) -> None:
    with contained(isolated, "elsewhere", "--cpuset-cpus=2-3"):
        [(where, cpus)] = isolated.displaced.items()
        assert (where.startswith("libpod-"), cpus) == (True, "2-3")
        [mend] = [who["mend"] for who in isolated.json("status")["displaced"]]
        assert mend == "start the container with --cgroup-parent=dedicated.slice"


def test_nspawn_with_a_cpuset_is_named(isolated: Guest) -> None:
    command = f"systemd-nspawn --quiet --directory={BOX} --machine=box --property=AllowedCPUs=3"
    with isolated.spawned(f"exec {command} {SLEEP}"):
        until(lambda: isolated.displaced == {"machine-box.scope": "3"})
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
