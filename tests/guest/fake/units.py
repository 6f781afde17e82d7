"""systemd's units: what is in their files, and what is loaded of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mdguest.cpuset import EMPTY, CpuSet

from tests.guest.fake.disk import Disk

FRAGMENTS = ("/etc/systemd/system", "/run/systemd/system", "/lib/systemd/system")
DROPINS = (
    "/lib/systemd/system",
    "/run/systemd/system",
    "/run/systemd/transient",
    "/run/systemd/system.control",
    "/etc/systemd/system",
    "/etc/systemd/system.control",
)


@dataclass(eq=False)
class Unit:
    """A unit, as systemd has it in mind: its files may say something else since."""

    name: str
    group: str
    active: bool = False
    fragment: str = ""
    allowed: CpuSet = EMPTY
    partition: str = ""
    affinity: str = ""
    refuses_stop: bool = False
    delegated: bool = False
    """Whose cgroups below are somebody else's: a container's, or a user's own systemd's."""
    file_state: str = "enabled"
    transient: bool = False
    """Made by systemd-run, and gone with its last process."""

    def load(self, disk: Disk) -> None:
        """Read the unit's files."""
        paths = (f"{folder}/{self.name}" for folder in FRAGMENTS)
        self.fragment = next((path for path in paths if path in disk.files), "")
        said = dict(_settings(disk, self))
        self.allowed = CpuSet.parse(said.get("AllowedCPUs", "").replace(" ", ","))
        self.partition = said.get("CPUSetPartition", "")
        self.affinity = said.get("CPUAffinity", "")
        self.refuses_stop = said.get("RefuseManualStop") == "yes"

    def shown(self, known: bool, native: bool) -> dict[str, str]:
        """The properties as ``systemctl show`` prints them."""
        state = "active" if self.active else "inactive"
        shown = {
            "Id": self.name,
            "LoadState": "loaded" if known else "not-found",
            "FragmentPath": self.fragment,
            "ActiveState": state,
            "AllowedCPUs": str(self.allowed).replace(",", " "),
            "ControlGroup": self.group if self.active else "",
            "CPUAffinity": self.affinity,
            "Slice": self.group.split("/")[-2] or "-.slice",
            "UnitFileState": self.file_state,
            "RefuseManualStop": "yes" if self.refuses_stop else "no",
        }
        return {**shown, "CPUSetPartition": self.partition} if native else shown


def _settings(disk: Disk, unit: Unit) -> Iterator[tuple[str, str]]:
    """What the unit's files set, drop-ins after the unit's own, the last word last."""
    dropins = {
        path.rpartition("/")[2]: path
        for folder in DROPINS
        for path in disk.below(f"{folder}/{unit.name}.d")
        if path.endswith(".conf")
    }
    paths = [unit.fragment] if unit.fragment else []
    for path in (*paths, *(dropins[name] for name in sorted(dropins))):
        for line in disk.files[path].splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.startswith(("#", ";")):
                yield name.strip(), value.strip()
