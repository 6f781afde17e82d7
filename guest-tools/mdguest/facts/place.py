"""Whose a cgroup is, and what moves its programs to another slice.

systemd's own tree is of slices, and units in them. What is below a unit is that unit's affair: the
systemd in a container has services of the same names as this guest's. Only a user's manager
(``user@1000.service``) goes on in the same way.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from mdguest.facts.kubernetes import is_of_pods
from mdguest.procfs import printable

if TYPE_CHECKING:
    from mdguest.cpuset import CpuSet

UNITS = (".slice", ".scope", ".service", ".mount", ".socket", ".swap")
"""The kinds of systemd units that have a cgroup."""

_MANAGER = "user@*.service"

_DOCKER, _DOCKER_FS, _PODMAN_FS = "docker-*.scope", "/docker/*", "/libpod*"
_SCOPES = ("libpod-*.scope", "nerdctl-*.scope", "cri-containerd-*.scope", "crio-*.scope")
_CONTAINERS = (_DOCKER, _DOCKER_FS, _PODMAN_FS, *_SCOPES)
"""Their cgroups, as systemd's scopes, or made by Docker and Podman themselves (cgroupfs)."""
_NSPAWN, _LXC = "machine-*.scope", "/lxc*"
_OTHERS = (*_CONTAINERS, _NSPAWN, _LXC, "systemd-nspawn@*.service")
"""What has files of its own."""

_OF_NSPAWN = "start it with systemd-nspawn --slice={home}"
_WAYS = (
    # Docker refuses a CPU set of the pool's, and takes a relative path for one beside its own.
    ((_DOCKER,), "start the container with --cgroup-parent={home}, and without --cpuset-cpus"),
    ((_DOCKER_FS,), "start the container with --cgroup-parent=/{home}, and without --cpuset-cpus"),
    # Podman itself refuses a slice; systemd has one.
    (
        (_PODMAN_FS,),
        "start the container by podman --cgroup-manager=systemd run --cgroup-parent={home}",
    ),
    (_SCOPES, "start the container with --cgroup-parent={home}"),
    (
        ("machine-qemu*.scope", "machine-lxc*.scope"),
        "virsh edit DOMAIN: <resource><partition>/{stem}</partition></resource>",
    ),
    ((_NSPAWN,), _OF_NSPAWN),
    ((_LXC,), "lxc.cgroup.dir = {home}/NAME in the container's configuration"),
    (("init.scope",), "take CPUAffinity= out of /etc/systemd/system.conf, and reboot"),
    (
        ("*.service", "*.socket", "*.mount", "*.swap"),
        "systemctl edit {name}: [{section}] Slice={home}; systemctl restart {name}",
    ),
    (("*.slice",), "give its services Slice={home}"),
)
"""By the names of units, or of cgroups that are none: what puts their programs into a slice."""

_POD = "MDGUEST_MODE=kubernetes, in which pods get dedicated CPUs"
_IN_POOL = "start it by mdguest run --on {cpus} -- COMMAND"
_AS_ROOT = "as root, since no user's unit can be in {home}: "
_IN_SLICE = "start it by systemd-run --scope --slice={home} COMMAND"


class Place(NamedTuple):
    """Where programs run."""

    path: str
    """Their cgroup, below the root: ``/system.slice/cron.service``."""
    name: str
    """The unit of this guest's systemd, or of a user's, that it belongs to; else the cgroup."""
    of_a_user: bool = False
    """Whether that is a unit of a user's manager."""

    @property
    def is_its_units(self) -> bool:
        """Whether it is the cgroup of that unit itself."""
        return self.path.rpartition("/")[2] == self.name

    @property
    def is_container(self) -> bool:
        return self._is_machine or _is_one_of(self.name, _OTHERS)

    @property
    def _is_machine(self) -> bool:
        """Whether it is systemd-nspawn's, which is no longer called ``machine-*`` (systemd 262)."""
        return fnmatchcase(self.path, "*/machine.slice/*.scope*")

    def names(self) -> list[str]:
        """All that it can be called by: itself, and what it is in."""
        parts = self.path.strip("/").split("/")
        return [self.name, self.path, *parts]

    def way_to(self, home: str, cpus: CpuSet, in_pool: bool) -> str:
        """The line that puts its programs on these CPUs, in the slice ``home`` or the pool."""
        stem, section = home.removesuffix(".slice"), self.name.rpartition(".")[2].capitalize()
        name = quote(self.name)
        way = self._way(_IN_POOL if in_pool else _IN_SLICE)
        return way.format(home=home, name=name, stem=stem, section=section, cpus=cpus)

    def _way(self, started: str) -> str:
        if is_of_pods(self.path):
            return _POD
        if self.of_a_user and not _is_one_of(self.name, _CONTAINERS):
            return f"{_AS_ROOT}{started}"
        ways = (way for patterns, way in _WAYS if _is_one_of(self.name, patterns))
        way = next(ways, _OF_NSPAWN if self._is_machine else started)
        return f"{_AS_ROOT}{way}" if self.of_a_user else way


def slice_path(name: str) -> str:
    """A slice's cgroup, below the root: ``a-b.slice`` is in ``a.slice`` (systemd.slice(5))."""
    parts = name.removesuffix(".slice").split("-")
    stems = ("-".join(parts[: count + 1]) for count in range(len(parts)))
    return "".join(f"/{stem}.slice" for stem in stems)


def _is_one_of(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def place(path: str) -> Place:
    """Of a cgroup; of a unit that does not run, its name does as its path."""
    names = path.strip("/").split("/")
    for depth, name in enumerate(names, 1):
        below = names[depth:]
        if fnmatchcase(name, _MANAGER) and below and below != ["init.scope"]:
            found = place("/".join(below))
            return found._replace(path=path, of_a_user=True)
        if not name.endswith(UNITS):
            return Place(path, _foreign(names, depth))
        if not name.endswith(".slice"):
            return Place(path, printable(name))
    return Place(path, printable(names[-1]))


def _foreign(names: list[str], depth: int) -> str:
    """A cgroup that is no unit's, without the units of a container that may be in it."""
    units = (at for at, name in enumerate(names) if at >= depth and name.endswith(UNITS))
    return printable("/" + "/".join(names[: next(units, len(names))]))
