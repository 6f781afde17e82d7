"""What guests report back of themselves: the form of a report, and what is kept of it. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import inspect

from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput
from mdsvc.forms import from_json
from mdsvc.forms.rules import rule
from mdsvc.forms.words import expected

MOST_BYTES = 2048
"""Of a report: what fits with its headers into what Neutron's agent reads at once."""

KEPT_MS = 60_000
"""Milliseconds for which the same report once more is not written."""

_State = Annotated[
    str, rule("a word of at most 64 letters, digits, - and _", "[A-Za-z0-9_-]{1,64}")
]
_Generation = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand in a guest, in its own words; None is what it did not say. ``generation`` is
    that of the layout which it has applied. What else it says is not kept.
    """

    generation: _Generation | None = None
    state: _State | None = None
    dedicated_cpus: CpuSet | None = None
    isolated_cpus: CpuSet | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The latest status of a guest, and when it came. ``told_at`` is when the guest was told first
    what it has not reported on since; before ``received_at`` where there is no such thing. Both in
    milliseconds since 1970.
    """

    status: Status
    received_at: int
    told_at: int

    def makes_superfluous(self, status: Status, at: int) -> bool:
        """Whether that status, received then, says nothing that is not known from this one."""
        age = at - self.received_at  # below 0 once the clock was set back
        is_fresh = 0 <= age < KEPT_MS and self.told_at <= self.received_at
        return is_fresh and status == self.status


def replaced(before: Report | None, status: Status, at: int) -> Report:
    """The report that a status makes of the one before."""
    return Report(status=status, received_at=at, told_at=before.told_at if before else at)


def told(report: Report, at: int) -> Report:
    """The report of a guest whose documents change at that time: after it, whatever clocks say."""
    if report.told_at > report.received_at:
        return report
    return msgspec.structs.replace(report, told_at=max(at, report.received_at + 1))


def now_ms() -> int:
    """The time as reports have it."""
    return time.time_ns() // 1_000_000


def read_status(body: bytes) -> Status:
    """Raises BadInput, which says nothing of what was sent: nothing that comes of a guest is
    reflected.
    """
    try:
        return from_json(body, Status)
    except BadInput as error:
        raise _unreflecting(error) from None


_FORM = inspect.type_info(Status)
assert isinstance(_FORM, inspect.StructType)
_EXPECTED: Mapping[str, str] = {
    field.name: f"{field.name}: expected {expected(field.type)}" for field in _FORM.fields
}


def _unreflecting(error: BadInput) -> BadInput:
    """The same error without what stands there, nor the key of a field that is not known."""
    if error.field is None:
        return error
    without = "status" + str(error).removeprefix(error.field)
    return BadInput(_EXPECTED.get(error.field, without))
