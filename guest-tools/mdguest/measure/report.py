"""What was measured, and its JSON form."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdguest.errors import BadInput
from mdguest.measure.snapshot import Counts

if TYPE_CHECKING:
    from collections.abc import Mapping

FORM = 1
"""The number of the JSON form; a newer one would not be read by mistake."""


@dataclass(frozen=True)
class Probed:
    """What a busy process saw on a CPU.

    ``stalls`` counts the times that it was kept from running, by length: from 10 µs, 100 µs, 1 ms,
    10 ms and 100 ms on; ``stalled_us`` is their sum, ``worst_us`` the longest.
    """

    seconds: float
    worst_us: float
    stalled_us: float
    voluntary: int
    involuntary: int
    stalls: list[int]


@dataclass(frozen=True)
class CpuNoise:
    """One CPU: the kernel's counters, and the probe or why there was none."""

    cpu: int
    dedicated: bool
    counts: Counts
    probe: Probed | None = None
    unprobed: str = ""


@dataclass(frozen=True)
class Section:
    """What another program had to say."""

    title: str
    text: str


@dataclass(frozen=True)
class Report:
    """A measurement. ``missing`` names CPUs that were asked for and are not online."""

    seconds: float
    context_switches: int
    cpus: list[CpuNoise]
    missing: str = ""
    sections: list[Section] = dataclasses.field(default_factory=list)


def probed(answer: str) -> Probed:
    """Read a probe's answer: nanoseconds and counts. Raises ValueError where it is none."""
    ns, worst, stalled, voluntary, involuntary, *stalls = map(int, answer.split())
    return Probed(ns / 1e9, worst / 1e3, stalled / 1e3, voluntary, involuntary, stalls)


def as_json(report: Report) -> dict[str, Any]:
    """The report as a plain value."""
    return {"form": FORM, **dataclasses.asdict(report)}


def from_json(value: object, where: str) -> Report:
    """Read what as_json() gave. Raises BadInput naming ``where`` it was found."""
    if not isinstance(value, dict) or value.get("form") != FORM:
        raise BadInput(
            f"{where}: is no measurement that `mdguest measure --save` of this kind made"
        )
    try:
        return Report(
            seconds=_number(value["seconds"], least=1e-3),
            context_switches=int(_number(value["context_switches"])),
            cpus=[_cpu(cpu) for cpu in value["cpus"]],
            missing=str(value["missing"]),
            sections=[Section(**section) for section in value["sections"]],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{where}: is a damaged measurement: {error!r}") from error


def _cpu(value: Mapping[str, Any]) -> CpuNoise:
    """One CPU of the JSON form."""
    return CpuNoise(
        cpu=int(_number(value["cpu"])),
        dedicated=bool(value["dedicated"]),
        counts=_counts(value["counts"]),
        probe=_probed(value["probe"]) if value["probe"] else None,
        unprobed=str(value["unprobed"]),
    )


def _counts(value: Mapping[str, Any]) -> Counts:
    for name in ("interrupts", "devices", "softirqs"):
        for count in value[name].values():
            _number(count)
    for name in ("irq_ms", "softirq_ms", "steal_ms"):
        _number(value[name])
    if value["switches"] is not None:
        _number(value["switches"])
    return Counts(**value)


def _probed(value: Mapping[str, Any]) -> Probed:
    for name in ("seconds", "worst_us", "stalled_us", "voluntary", "involuntary"):
        _number(value[name])
    for count in value["stalls"]:
        _number(count)
    return Probed(**value)


def _number(value: object, least: float = 0.0) -> float:
    """A number as a measurement has them. Raises ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value < 1e18:
        return value
    raise ValueError(f"{str(value)[:40]!r} where a number from {least:g} on is expected")
