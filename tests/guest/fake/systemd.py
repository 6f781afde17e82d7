"""systemd and systemctl: what they do to cgroups, and what they say of it, which is another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.system import Ran

from tests.guest.fake.cpusets import Cgroup, Hierarchy
from tests.guest.fake.disk import Disk
from tests.guest.fake.units import Unit

CONTROL = "/run/systemd/system.control"
TRANSIENT = "/run/systemd/transient"
DROPIN = """\
# This is a drop-in unit file extension, created via "systemctl set-property"
# or an equivalent operation. Do not edit.
"""
OK = Ran(0, "", "")


def slice_path(name: str) -> str:
    """``a-b.slice`` is below ``a.slice``."""
    parts = name.removesuffix(".slice").split("-")
    return "".join(f"/{'-'.join(parts[: count + 1])}.slice" for count in range(len(parts)))


@dataclass
class Systemd:
    """The manager. It owns the cgroups of its units, and takes cpuset from all others."""

    version: int
    tree: Hierarchy
    disk: Disk
    units: dict[str, Unit] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    """What the journal has of failures that nobody was told of."""
    answers: bool = True
    """False while it is too busy."""

    @property
    def native(self) -> bool:
        """Whether it knows CPUSetPartition=."""
        return self.version >= 261

    def add(self, name: str, parent: str = "", active: bool = True) -> Unit:
        """A unit that is there; a service or scope in its slice."""
        own = slice_path(name) if name.endswith(".slice") else f"{parent}/{name}"
        unit = self.units[name] = Unit(name, own)
        unit.load(self.disk)
        if active:
            self._activate(unit)
        return unit

    def run_scope(self, name: str, cpus: str) -> Unit:
        """``systemd-run --scope --collect --slice=dedicated.slice -p AllowedCPUs=``."""
        unit = self.add(name, "/dedicated.slice")
        unit.transient = True
        self._set(unit, "AllowedCPUs", cpus, TRANSIENT)
        return unit

    def collect(self, name: str) -> None:
        """The last process of a scope has ended."""
        unit = self.units.pop(name)
        self.tree.remove(self.tree.find(unit.group))
        folder = f"{TRANSIENT}/{name}.d"
        for path in self.disk.below(folder):
            self.disk.remove(path)
        self.disk.remove(folder)

    def ctl(self, *arguments: str) -> Ran:
        """The systemctl command."""
        words = [word for word in arguments if not word.startswith("--")]
        flags = [word for word in arguments if word.startswith("--")]
        if "--version" in flags:
            return Ran(0, f"systemd {self.version} ({self.version}.22-1~deb12u1)\n+PAM +AUDIT", "")
        if not self.answers:
            return Ran(1, "", "Failed to get properties: Connection timed out")
        verb, rest = words[0], words[1:]
        actions: dict[str, Callable[..., Ran]] = {
            "show": partial(self._show, flags),
            "start": self.start,
            "stop": self.stop,
            "set-property": partial(self.set_property, "--runtime" in flags),
            "daemon-reload": self.daemon_reload,
        }
        if verb not in actions:
            return Ran(1, "", f"Unknown command verb {verb}.")
        return actions[verb](*rest)

    def _show(self, flags: list[str], *names: str) -> Ran:
        wanted = next(flag for flag in flags if flag.startswith("--property=")).partition("=")[2]
        blocks = []
        for name in self._matching(names):
            shown = self._unit(name).shown(self._is_known(name), self.native)
            lines = [(key, shown[key]) for key in wanted.split(",") if key in shown]
            bare = "--value" in flags
            blocks.append("\n".join(value if bare else f"{key}={value}" for key, value in lines))
        return Ran(0, "\n\n".join(blocks), "")

    def _matching(self, names: tuple[str, ...]) -> Iterator[str]:
        """Patterns are of the units that are loaded."""
        for name in names:
            if any(letter in name for letter in "*?["):
                yield from (unit for unit in self.units if fnmatchcase(unit, name))
            else:
                yield name

    def _is_known(self, name: str) -> bool:
        return name in self.units or name.endswith(".slice")

    def _unit(self, name: str) -> Unit:
        """A slice is there as soon as it is named; its files are read then."""
        if name in self.units:
            return self.units[name]
        path = slice_path(name) if name.endswith(".slice") else f"/system.slice/{name}"
        unit = Unit(name, path)
        unit.load(self.disk)
        return self.units.setdefault(name, unit) if name.endswith(".slice") else unit

    def start(self, name: str) -> Ran:
        if not self._is_known(name):
            return Ran(5, "", f"Failed to start {name}: Unit {name} not found.")
        unit = self._unit(name)
        if not unit.active:
            self._activate(unit)
            self._eagerly_trim()
        return OK

    def _activate(self, unit: Unit) -> None:
        self.tree.make(unit.group)
        unit.active = True
        self.realize(unit)

    def stop(self, name: str) -> Ran:
        unit = self._unit(name)
        if not unit.active:
            return OK
        if unit.refuses_stop:
            text = "Operation refused, unit %s may be requested by dependency only."
            return Ran(4, "", f"Failed to stop {name}: {text % name}")
        group = self.tree.find(unit.group)
        self.tree.tasks.kill(group)
        for below in reversed(list(group.walk())):
            self.tree.remove(below)
        for other in self.units.values():
            if (other.group + "/").startswith(unit.group + "/"):
                other.active = False
        self._eagerly_trim()
        return OK

    def set_property(self, runtime: bool, name: str, *assignments: str) -> Ran:
        if not self._is_known(name):
            text = f"Failed to set unit properties on {name}: Unit {name} not found."
            return Ran(1, "", text)
        unit = self._unit(name)
        for assignment in assignments:
            key, _, value = assignment.partition("=")
            if key == "CPUSetPartition" and not self.native:
                return Ran(1, "", f"Unknown assignment: {assignment}")
            try:
                CpuSet.parse(value if key == "AllowedCPUs" else "")
            except ValueError:
                return Ran(1, "", f"Failed to parse {key} value: {value}")
            lasting = CONTROL if runtime else CONTROL.replace("/run", "/etc")
            transient = unit.transient or name.endswith(".scope")  # init.scope is no exception
            self._set(unit, key, value, TRANSIENT if transient else lasting)
        return OK

    def _set(self, unit: Unit, key: str, value: str, folder: str) -> None:
        section = unit.name.rpartition(".")[2].capitalize()
        reset = f"{key}=\n" if key == "AllowedCPUs" else ""
        said = value.replace(",", " ") if reset else value
        text = f"{DROPIN}[{section}]\n{reset}{key}={said}\n"
        self.disk.put(f"{folder}/{unit.name}.d/50-{key}.conf", text)
        if key == "AllowedCPUs":
            unit.allowed = CpuSet.parse(value)
            self.tree.make(unit.group)  # even if the unit is inactive: slice_bus_commit_properties
            self.realize(unit, cleared=not value)
        else:
            unit.partition = value
            self.realize(unit, cleared=False)
            if not value:
                self._write_partition(self.tree.make(unit.group), "member")
        self._eagerly_trim()

    def realize(self, unit: Unit, cleared: bool = False) -> None:
        """Tell the kernel. What it refuses is logged, and forgotten."""
        if not unit.active:
            return
        group = self.tree.find(unit.group)
        if unit.allowed:
            self._enable(group.parent)
        if unit.allowed or (cleared and group.has_cpuset):
            with self._complaining(group):
                self.tree.write_cpus(group, str(unit.allowed))
        if unit.allowed and unit.partition and self.native:
            self._write_partition(group, unit.partition)

    def _write_partition(self, group: Cgroup, kind: str) -> None:
        with self._complaining(group):
            if group.has_cpuset:
                self.tree.write_partition(group, kind)
        if group.reason:
            self.complaints.append(f"{group.path}: {group.state}")

    @contextlib.contextmanager
    def _complaining(self, group: Cgroup):  # type: ignore[no-untyped-def]  # Iterator[None]
        try:
            yield
        except OSError as error:
            self.complaints.append(f"{group.path}: {error}")

    def _enable(self, group: Cgroup | None) -> None:
        if group is not None:
            self._enable(group.parent)
            self.tree.write_controllers(group, "+cpuset")

    def daemon_reload(self) -> Ran:
        """Read all units again, tell the kernel again, and take cpuset from who needs it not."""
        for unit in self.units.values():
            unit.load(self.disk)
            self.realize(unit)
        self.trim()
        return OK

    def _eagerly_trim(self) -> None:
        """systemd 257 does so whenever a unit that has CPUs changes."""
        if self.version == 257:
            self.trim()

    def trim(self) -> None:
        active = [unit for unit in self.units.values() if unit.active]
        needing = [unit.group for unit in active if unit.allowed]
        needing += [f"{unit.group}/its-own" for unit in active if unit.delegated]
        owned = ["", *(unit.group for unit in self.units.values() if unit.active)]
        for group in list(self.tree.root.walk()):
            needed = any(path.startswith(f"{group.path}/") for path in needing)
            if "cpuset" in group.controllers and not needed and group.path in owned:
                self.tree.write_controllers(group, "-cpuset")

    def allowed(self) -> dict[str, CpuSet]:
        return {unit.name: unit.allowed for unit in self.units.values() if unit.allowed != EMPTY}
