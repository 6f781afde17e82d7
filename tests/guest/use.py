"""mdguest as the tests use it: on a fake guest, without a lock, each time as a new process."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from mdguest import cli, control
from mdguest.cpuset import EMPTY, CpuSet
from mdguest.isolation import state
from mdguest.isolation.apply import Occasion, Outcome, apply, memory, planned
from mdguest.isolation.journal import Journal
from mdguest.isolation.plan import Plan
from mdguest.knobs.kind import Problem
from mdguest.layout import Layout
from mdguest.settings import Settings
from mdguest.status import status

from tests.guest.fake import FakeGuest
from tests.guest.fake.snapshot import differences, snapshot

SOURCE = "file:layout"


def isolate(guest: FakeGuest, cpus: str, *, anew: bool = True, **settings: Any) -> Outcome:
    """``mdguest apply`` for these dedicated CPUs."""
    layout = Layout(CpuSet.parse(cpus), SOURCE)
    return apply(guest, layout, Settings(**settings), lambda _: None, Occasion(anew=anew))


def undo(guest: FakeGuest) -> Outcome:
    """``mdguest undo``."""
    return apply(guest, Layout(EMPTY, SOURCE), Settings(), lambda _: None)


def command(guest: FakeGuest, *arguments: str) -> tuple[int, str]:
    """``mdguest`` with these arguments: its exit status, and what it says on either stream."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = cli.main(arguments, guest)
    return status, said.getvalue()


def plan(guest: FakeGuest, cpus: str, **settings: Any) -> Plan:
    """``mdguest plan``."""
    remembered = memory(Journal(guest), state.load(guest))
    return planned(guest, CpuSet.parse(cpus), Settings(**settings), remembered)


def named(guest: FakeGuest, **settings: str) -> list[tuple[str, str, str]]:
    """Who is displaced, how it asked, and for which CPUs."""
    claims = plan(guest, "2-3", **settings).claims
    return sorted((claim.where, claim.how, str(claim.cpus)) for claim in claims)


def view(guest: FakeGuest, cpus: str, **settings: Any) -> control.View:
    given = control.applied(Settings(**settings), state.load(guest))
    return control.view(guest, CpuSet.parse(cpus), given)


def problems(guest: FakeGuest, cpus: str, **settings: Any) -> list[Problem]:
    """What ``mdguest verify`` finds once irqbalance has had its time."""
    scan(guest)
    return view(guest, cpus, **settings).problems


def state_of(guest: FakeGuest, cpus: str, **settings: Any) -> str:
    """The state that ``mdguest status`` names."""
    return str(status(view(guest, cpus, **settings))["state"])


def later(guest: FakeGuest) -> None:
    """Some minutes go by: no kernel thread is new any longer."""
    guest.uptime += 180


def scan(guest: FakeGuest) -> None:
    """irqbalance wakes up."""
    if guest.irqbalance:
        guest.irqbalance.scan()


def changed(guest: FakeGuest, before: dict[str, str]) -> dict[str, tuple[str, str]]:
    """What is not as it was, once irqbalance has had its time.

    Before Linux 7 a populated cgroup's cpuset cannot be emptied: all CPUs are as good as none.
    """
    scan(guest)
    everything = {str(guest.tree.online), str(guest.shape.present)}
    return {
        name: (was, now)
        for name, (was, now) in differences(before, snapshot(guest)).items()
        if guest.kernel.modern or not name.endswith("/cpuset.cpus") or was or now not in everything
    }
