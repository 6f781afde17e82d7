"""Who may read a guest's user data once it has booted: the guest asks, and operators decide."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from mdsvc import locking
from mdsvc.control.instances import get_instance
from mdsvc.errors import Closed, Unavailable
from mdsvc.instance import PlacedInstance
from mdsvc.locking import Lock, UserDataLock, lock_of
from mdsvc.reports import now_ms
from mdsvc.store import GuestStore, Stale, Store

_TRIES = 3
"""Of a change: somebody else may change the same lock, or the connection be gone."""


async def check_open(store: GuestStore, uuid: str) -> None:
    """Raises Closed."""
    _check(await store.user_data_lock(uuid))


async def read(store: GuestStore, uuid: str, seconds: int) -> None:
    """Note that a guest reads its user data, which close so many seconds after the first time.

    Raises Closed; and Unavailable where that cannot be noted, since nothing is given unnoted.
    """
    _check(await _changed(store, uuid, lambda lock: locking.read(lock, now_ms(), seconds)))


async def close_after_report(store: GuestStore, uuid: str) -> None:
    """A guest has said its state: its boot is over."""
    await _changed(store, uuid, lambda lock: locking.reported(lock, now_ms()))


async def get_lock(store: Store, uuid: str) -> UserDataLock:
    """Whether the guest's user data are closed. Raises NotFound for the guest."""
    return await find_lock(store, await get_instance(store, uuid))


async def find_lock(store: GuestStore, guest: PlacedInstance) -> UserDataLock:
    """The same of a guest that is known."""
    return lock_of(guest.uuid, await store.user_data_lock(guest.uuid), now_ms())


async def lock(store: Store, uuid: str) -> UserDataLock:
    """Close the guest's user data at once. Raises NotFound."""
    return await _by_operator(store, uuid, lambda lock: locking.closed(lock, now_ms()))


async def unlock(store: Store, uuid: str) -> UserDataLock:
    """Open the guest's user data anew, as at the beginning of a life. Raises NotFound."""
    return await _by_operator(store, uuid, lambda _lock: locking.OPENED)


async def _by_operator(
    store: Store, uuid: str, change: Callable[[Lock | None], Lock]
) -> UserDataLock:
    guest = await get_instance(store, uuid)
    return lock_of(guest.uuid, await _changed(store, guest.uuid, change), now_ms())


def _check(lock: Lock | None) -> None:
    if lock and lock.is_closed(now_ms()):
        raise Closed("the user data of this guest are closed, as it has booted")


async def _changed(store: GuestStore, uuid: str, change: Callable[[Lock | None], Lock]) -> Lock:
    """The lock after a change of it. Twice the same is the same: it is tried again."""
    for _ in range(_TRIES):
        with suppress(Stale):
            return await _change(store, uuid, change)
    raise Unavailable("the store is busy: others change the lock of the same user data")


async def _change(store: GuestStore, uuid: str, change: Callable[[Lock | None], Lock]) -> Lock:
    before = await store.user_data_lock(uuid)
    after = change(before)
    if after != before:
        await store.set_user_data_lock(uuid, before, after)
    return after
