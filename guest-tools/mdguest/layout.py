"""What the metadata says: which of this guest's vCPUs are dedicated."""

from __future__ import annotations

from dataclasses import dataclass

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.errors import BadInput

KEY = "dedicated_cpus"
REALTIME = "realtime_cpus"


@dataclass(frozen=True)
class Layout:
    """A source's answer.

    ``dedicated`` is None where the source is there but says nothing of dedicated CPUs; the empty
    set where it says that there are none. ``source`` is in the form that ``--source`` takes.
    ``etag`` names this answer where its server can be asked to wait for the next one. ``stale``
    says why this is what was remembered, and not what the source says now. ``realtime`` are the
    CPUs that the host gives a realtime priority, and ``generation`` counts the guest's changes,
    where the source tells.
    """

    dedicated: CpuSet | None
    source: str
    etag: str = ""
    stale: str = ""
    realtime: CpuSet = EMPTY
    generation: int | None = None


def dedicated_cpus(value: object, where: str, key: str = KEY) -> CpuSet:
    """Read either form of the field: the string ``"2-3"``, or Nova's list ``[2, 3]``.

    Raises BadInput naming ``where`` it was found and what was expected.
    """
    expected = f'{where}: {key} is neither a CPU list like "2-3" nor a list of CPU numbers'
    try:
        if isinstance(value, str):
            return CpuSet.parse(value)
        if isinstance(value, list) and all(type(cpu) is int for cpu in value):
            return CpuSet.of(value)
    except ValueError as error:
        raise BadInput(f"{expected}: {error}") from error
    import json

    raise BadInput(f"{expected}: {json.dumps(value)[:80]}")
