"""What is said of a host that was described anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsvc import terminal
from mdsvc.terminal.console import show, tell

if TYPE_CHECKING:
    from mdsvc.control.hosts import Replaced


def show_replaced(replaced: Replaced) -> None:
    """Guests that run are not touched by what is written here, so whoever runs them is told."""
    for guest in replaced.renewed:
        who = f"{guest.name} ({guest.uuid}), generation {guest.generation}"
        tell(f"renewed {who}: it floats over other pCPUs now; see `mdsvc instance xml`")
    show(replaced.host, lambda: terminal.tables.host_detail(replaced.host))
