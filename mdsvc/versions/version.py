"""What a version of the OpenStack metadata is: only what it adds to the one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from mdsvc.instance import Disk, Nic, PlacedInstance, Share, VersionList

CpusFormat = Literal["cpuset", "list"]
"""How `dedicated_cpus` is written: as a CPU set string, or as Nova's list of integers."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator has set for all guests' documents."""

    dedicated_cpus_format: CpusFormat = "cpuset"
    version_list: VersionList = "nova"
    vendor_data: Mapping[str, Any] = {}


ABSENT = msgspec.UNSET
"""What a field or file gives where this guest has none."""

Entropy = Callable[[int], bytes]
"""Gives so many random bytes; passed in, so that documents can be frozen in tests."""

Device = Nic | Disk | Share


@dataclass(frozen=True)
class View:
    """One guest as one version shows it."""

    guest: PlacedInstance
    options: Options
    version: Version


@dataclass(frozen=True)
class Version:
    """One version, by its date.

    ``fields`` are what meta_data.json gains, ``fresh`` those of its fields that are new in every
    reply. ``files`` are what appears in the version's folder: a JSON object, bytes, or ABSENT.
    ``devices`` is what each kind of device newly shows.
    """

    date: str
    fields: Mapping[str, Callable[[View], Any]] = field(default_factory=dict)
    fresh: Mapping[str, Callable[[Entropy], bytes]] = field(default_factory=dict)
    files: Mapping[str, Callable[[View], Any]] = field(default_factory=dict)
    devices: Mapping[type[Device], Mapping[str, Callable[[Any], Any]]] = field(default_factory=dict)

    def after(self, before: Version) -> Version:
        """This version with all that the ones before it have."""
        return Version(
            date=self.date,
            fields={**before.fields, **self.fields},
            fresh={**before.fresh, **self.fresh},
            files={**before.files, **self.files},
            devices={
                kind: {**before.devices.get(kind, {}), **self.devices.get(kind, {})}
                for kind in {**before.devices, **self.devices}
            },
        )
