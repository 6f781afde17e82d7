"""User data that close once a guest has booted, so that a pod on it cannot read them. Pure.

A lock is of one life of a guest, and stored: it holds on every server and worker, and after a
restart. What has closed stays closed, whatever is set later, until it is opened anew.
"""

from __future__ import annotations

import msgspec

from mdsvc.amounts import moment

DEFAULT_SECONDS = 600
"""After the first read: a boot with a reboot in it. Clients read within seconds of one another."""


LONGEST_SECONDS = 7 * 86400


class Lock(msgspec.Struct, frozen=True):
    """``closes_at``: when they close by time, as the guest has read them; ``closed_at``: when they
    were closed at once, which holds whatever clocks say. Both in milliseconds since 1970.

    Without either they were opened anew and have not been read since. A guest that has neither
    read them nor reported has no lock at all.
    """

    closes_at: int | None = None
    closed_at: int | None = None

    def is_closed(self, at: int) -> bool:
        """Whether the guest is refused its user data at that time."""
        return self.closed_at is not None or (self.closes_at is not None and self.closes_at <= at)


OPENED = Lock()


def read(lock: Lock | None, at: int, seconds: int) -> Lock:
    """After a read at that time: the first of a life sets when they close. So does one of which the
    clock says that they close later than can be, since it was wrong at the first, and set back.
    """
    lock = lock or OPENED
    was_ahead = lock.closes_at is not None and lock.closes_at > at + LONGEST_SECONDS * 1000
    is_new = lock == OPENED or (was_ahead and lock.closed_at is None)
    return Lock(at + seconds * 1000) if is_new else lock


def reported(lock: Lock | None, at: int) -> Lock:
    """After a report of a guest that says its state, for which it has to be up.

    Where they were opened anew and not read since, it is still the life before that speaks: the
    ``mdguest`` of a guest that is being rebuilt is told of the change, and reports.
    """
    return OPENED if lock == OPENED else closed(lock, at)


def closed(lock: Lock | None, at: int) -> Lock:
    """Closed at once, and since when they have been if they are: by time alone they may be open
    again once the clock is set back.
    """
    lock = lock or OPENED
    return lock if lock.closed_at is not None else Lock(lock.closes_at, at)


class UserDataLock(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a guest is refused its user data where ``user_data_after_boot`` is ``deny``, and when
    they close or have closed, in seconds since 1970; null where nobody has read them yet.
    """

    uuid: str
    closed: bool
    closes_at: int | None


def lock_of(uuid: str, lock: Lock | None, at: int) -> UserDataLock:
    """What operators see of a lock."""
    lock = lock or OPENED
    times = [time for time in (lock.closes_at, lock.closed_at) if time is not None]
    closes_at = min(times) // 1000 if times else None
    return UserDataLock(uuid=uuid, closed=lock.is_closed(at), closes_at=closes_at)


def lock_text(lock: UserDataLock) -> str:
    """The same in words; whether guests are refused is the server's to say."""
    if lock.closes_at is None:
        return "open"
    when = f"{'closed since' if lock.closed else 'open until'} {moment(lock.closes_at)}"
    return f"{when}, where user_data_after_boot is deny"
