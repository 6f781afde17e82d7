"""What the knobs in the journal read now."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mdguest import knobs
from mdguest.facts import CGROUP, POOL, Knob
from mdguest.knobs.units import activity, dropin, property_now

if TYPE_CHECKING:
    from mdguest.cpuset import CpuSet
    from mdguest.facts import Group, Systemd
    from mdguest.system import System


def journalled(
    system: System,
    wanted: Iterable[Knob],
    systemd: Systemd | None,
    groups: Iterable[Group],
    online: CpuSet,
) -> dict[Knob, str | None]:
    """Those that are gone are left out."""
    known, found = _known(systemd, groups, online), {}
    for knob in wanted:
        with contextlib.suppress(OSError, ValueError):  # gone: nothing to put back
            if knob in known or not _is_reverted(system, knob):
                found[knob] = known[knob] if knob in known else knobs.read(system, knob)
    return found


def _known(
    systemd: Systemd | None, groups: Iterable[Group], online: CpuSet
) -> Mapping[Knob, str | None]:
    """What need not be asked of systemd again."""
    if systemd is None:
        return {}
    known: dict[Knob, str | None] = {Knob("unit", POOL): activity(systemd.pool_active)}
    for group in groups:
        if group.unit:
            kernel = None if group.cpus is None else str(group.cpus)
            now = property_now(str(group.asked), kernel, online)
            known[Knob("cpus", f"{group.unit} AllowedCPUs")] = now
    return known


def _is_reverted(system: System, knob: Knob) -> bool:
    """Whether a unit has gone, and its setting with it: somebody stopped and reverted it."""
    unit = knobs.unit(knob)
    its_own = [knob.target] if knobs.of(knob).at_reload else []
    signs = (dropin(unit), f"{CGROUP}/{unit}", *its_own)
    return bool(unit) and not any(map(system.exists, signs))
