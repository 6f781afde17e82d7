"""What guests report back, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mdsvc.amounts import moment
from mdsvc.instance import PlacedInstance
from mdsvc.locking import UserDataLock, lock_text
from mdsvc.reports.drift import GuestStatus
from mdsvc.terminal import tables
from mdsvc.terminal.words import Printable

_FIELDS = ("generation", "state", "dedicated_cpus", "isolated_cpus")


def instance_detail(
    instance: PlacedInstance, status: GuestStatus | None, lock: UserDataLock | None
) -> Printable:
    """One guest: what it is, where, what it has reported, and whether its user data are closed."""
    detail = tables.instance_detail(instance)
    facts = dict(_facts(status))
    if lock and instance.user_data is not None:
        facts["user data"] = lock_text(lock)
    return Printable(detail, "", tables.facts(facts))


def lock_detail(lock: UserDataLock) -> Printable:
    """Whether a guest's user data are closed."""
    return Printable(tables.facts({"uuid": lock.uuid, "user data": lock_text(lock)}))


def _facts(status: GuestStatus | None) -> Iterator[tuple[str, str]]:
    if status is None:
        yield "reported", "nothing yet"
        return
    yield "reported", moment(status.reported_at)
    for name in _FIELDS:
        value = getattr(status, name)
        if value is not None:
            yield f"reported {name}", str(value) or "-"
    yield "drift", "; ".join(reason.message for reason in status.drift) or "none"


def drifted_table(instances: Sequence[PlacedInstance]) -> Printable:
    """Guests that drift; why, each one's own page says."""
    if not instances:
        return Printable("no guest drifts from what it is told, as far as guests report")
    table = tables.instances_table(instances)
    return Printable(table, "", "`mdsvc instance show UUID` says why")
