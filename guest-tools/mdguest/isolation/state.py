"""What mdguest remembers: the last good layout, over boots; how this boot's apply ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mdguest.cpuset import CpuSet
from mdguest.exemption import parse, shown
from mdguest.isolation.journal import Journal
from mdguest.layout import Layout
from mdguest.procfs import boot_id
from mdguest.settings import KEEP_ONE, MODES, PARTITIONS

if TYPE_CHECKING:
    from mdguest.system import System

STATE = "/run/mdguest/state.json"
LAST_GOOD = "/var/lib/mdguest/layout.json"


@dataclass(frozen=True)
class State:
    """How the last ``apply`` of this boot ended; the defaults are those of a guest without one."""

    dedicated: str = ""
    """What the metadata said, as a CPU list."""
    realtime: str = ""
    """Those of them that the host runs with a realtime priority."""
    source: str = ""
    mode: str = ""
    """The mode that was applied; empty where nothing is."""
    asked_mode: str = ""
    """The mode that was asked for; empty where it was the one that suited the guest."""
    partition: str = ""
    housekeeping: str = "first"
    exempt: str = ""
    """The slices that had dedicated CPUs of their own: ``ovs.slice=2-3``."""
    isolated: str = ""
    """What was isolated: less than ``dedicated`` where some CPU had to stay."""
    isolating: str = ""
    """What an apply that is under way isolates, and those that were cut off before: CPU lists with
    spaces between them.
    """
    left: str = ""
    """What was left for everything else since isolation began, the last one last: CPU lists with
    spaces between them.
    """
    since: int = 0
    """When isolation began, in clock ticks since boot: a task that is younger has its parent's
    affinity.
    """
    refused: str = ""
    """Why the kernel would have no partition of these CPUs; a fence stands in."""
    immovable: dict[str, str] = field(default_factory=dict)
    """Interrupts that the kernel manages itself: number → name."""
    crowded: dict[str, str] = field(default_factory=dict)
    """Interrupts for which the housekeeping CPUs had no vector left: number → name."""
    undone: bool = False
    """Put back by hand: ``watch`` leaves it so until the layout changes."""
    stale: str = ""
    """Why the layout could not be read the last time; empty where it could."""
    applied_at: float = 0.0
    """Seconds since the epoch."""
    boot: str = ""


def load(system: System) -> State:
    """This boot's state, with what a run that was cut off was about to make of it. One of another
    boot says nothing of this one.
    """
    saved = _saved(system)
    return _read({**asdict(saved), **Journal(system).intent}) or saved


def _saved(system: System) -> State:
    try:
        values = json.loads(system.read(STATE))
    except (OSError, ValueError):
        values = None
    state = _read(values) if isinstance(values, dict) else None
    here = state and state.boot == boot_id(system)
    return state if state and here else State(exempt=_last_exempt(system))


def _read(values: Mapping[str, Any]) -> State | None:
    """The state that these are; None where they are none. What a newer mdguest has put beside the
    fields that are known here is left out.
    """
    usual = asdict(State())
    known = {name: value for name, value in values.items() if name in usual}
    if any(type(value) is not type(usual[name]) for name, value in known.items()):
        return None
    state = State(**known)
    several = (*state.isolating.split(), *state.left.split())
    try:
        for cpus in (state.dedicated, state.realtime, state.isolated, *several):
            CpuSet.parse(cpus)
        parse(state.exempt)
        keeps = state.housekeeping in KEEP_ONE or bool(CpuSet.parse(state.housekeeping))
    except ValueError:
        return None
    modes = {state.mode, state.asked_mode} <= {"", *MODES}
    names = map(type, (*state.immovable.values(), *state.crowded.values()))
    is_one = keeps and modes and state.partition in ("", *PARTITIONS) and set(names) <= {str}
    return state if is_one else None


def save(system: System, state: State) -> State:
    state = replace(state, boot=boot_id(system))
    system.save(STATE, json.dumps(asdict(state), indent=1) + "\n")
    return state


def _machine(system: System) -> str:
    """What tells this guest from its clones: OpenStack's instance id; empty where it has none."""
    try:
        return system.read("/sys/class/dmi/id/product_uuid")
    except OSError:
        return ""


def last_good(system: System) -> Layout | None:
    """The layout that was applied last, in this boot or before it; not that of another machine, of
    whose disk this one's is a copy.
    """
    values = _last(system)
    try:
        dedicated = CpuSet.parse(values["dedicated_cpus"])
        realtime = CpuSet.parse(values.get("realtime_cpus", ""))
        return Layout(dedicated, values["source"], realtime=realtime)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _last_exempt(system: System) -> str:
    """The slices that had CPUs of their own beside the last good layout: one that takes some away
    is to be followed after a boot, too.
    """
    exempt = _last(system).get("exempt", "")
    try:
        return shown(parse(exempt))
    except (ValueError, AttributeError):
        return ""


def _last(system: System) -> dict[str, Any]:
    """What was kept for this machine; nothing where none was, or it is damaged."""
    try:
        values = json.loads(system.read(LAST_GOOD))
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(values, dict) and values.get("machine") == _machine(system)
    return values if is_ours else {}


def keep(system: System, layout: Layout, exempt: str = "") -> None:
    """Remember a layout as the last good one, and the slices that are exempt, where either is
    another than before.
    """
    values = {
        "dedicated_cpus": str(layout.dedicated),
        "realtime_cpus": str(layout.realtime),
        "source": layout.source,
        "exempt": exempt,
        "machine": _machine(system),
    }
    if _last(system) != values:
        system.save(LAST_GOOD, json.dumps(values) + "\n")
