"""What answering guests needs."""

from __future__ import annotations

from dataclasses import dataclass

from mdsvc.documents import Documents
from mdsvc.guarding import Guard
from mdsvc.identity import Identity, KeptGuests
from mdsvc.metrics import Metrics
from mdsvc.store import GuestStore
from mdsvc.vendordata.answers import Vendordata
from mdsvc.waiting import Waiting


@dataclass(frozen=True)
class Guests:
    """One value, made where the program is put together.

    ``store`` may give what was read a moment ago, but forgets it before ``waiting`` wakes anybody.
    ``kept`` is what it can give without asking, if it keeps anything; ``followed`` the same for who
    waits for a change of it, and is told.
    ``user_data_seconds``: user data close so long after they were read; None where they never do.
    """

    store: GuestStore
    waiting: Waiting
    identity: Identity
    documents: Documents
    longest_wait: int
    proxied: bool
    guard: Guard
    metrics: Metrics | None = None
    vendordata: Vendordata | None = None
    kept: KeptGuests | None = None
    followed: KeptGuests | None = None
    user_data_seconds: int | None = None
