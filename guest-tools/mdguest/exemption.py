"""Slices with dedicated CPUs of their own, beside the pool: what ``MDGUEST_EXEMPT`` says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mdguest.cpuset import CpuSet, union

Exempt = Mapping[str, CpuSet]
"""Slice → its CPUs. No two share any."""

_SLICE = re.compile(r"[A-Za-z0-9:_.\\]+\.slice")
_OTHERS = ("dedicated.slice", "system.slice", "user.slice", "kubepods.slice")
"""The pool, those in which all the rest of the guest is, and the pods'."""

FORM = "expected slices with their CPUs, like ovs.slice=2-3 fast.slice=5"


def parse(text: str) -> dict[str, CpuSet]:
    """``ovs.slice=2-3 fast.slice=5``. Raises ValueError saying what is wrong."""
    exempt: dict[str, CpuSet] = {}
    for name, cpus in map(_entry, text.split()):
        if name in exempt:
            raise ValueError(f"{name} is there twice; give it one list of CPUs")
        shared = next((other for other in exempt if exempt[other] & cpus), None)
        if shared:
            both = exempt[shared] & cpus
            raise ValueError(f"{shared} and {name} both have CPU {both}; expected sets apart")
        exempt[name] = cpus
    return dict(sorted(exempt.items()))


def _entry(word: str) -> tuple[str, CpuSet]:
    name, equals, listed = word.partition("=")
    if not equals or not listed:
        raise ValueError(f"{word!r}: {FORM}")
    if not _SLICE.fullmatch(name):
        raise ValueError(
            f"{name!r}: expected a slice directly below the root, like ovs.slice: its name ends in "
            ".slice and has no '-', which would put it below another"
        )
    if name in _OTHERS:
        raise ValueError(f"{name} cannot have CPUs of its own; expected a slice like ovs.slice")
    try:
        return name, CpuSet.parse(listed)
    except ValueError as error:
        raise ValueError(f"{name}: {error}; {FORM}") from error


def may_be_exempt(name: str) -> bool:
    """Whether this is a slice directly below the root that can have CPUs of its own."""
    return bool(_SLICE.fullmatch(name)) and name not in _OTHERS


def shown(exempt: Exempt) -> str:
    """The same as text, whatever it looked like."""
    return " ".join(f"{name}={cpus}" for name, cpus in exempt.items())


def cpus_of(exempt: Exempt) -> CpuSet:
    """All of their CPUs."""
    return union(exempt.values())


def listed(exempt: Exempt) -> Iterator[str]:
    """A line for each."""
    return (f"{name}: CPU {cpus}" for name, cpus in exempt.items())
