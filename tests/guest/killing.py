"""Killing mdguest at every step, and looking at what the next one makes of it.

What runs are the commands that users run, from their arguments to their exit status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mdguest.isolation.journal import JOURNAL

from tests.guest.fake import FakeGuest, Killed, snapshot
from tests.guest.scenes import Scene
from tests.guest.use import changed, command, scan

Act = Callable[[FakeGuest], Any]

LAYOUT = "/run/mdguest/given"
"""Where the snapshots look for nothing that has to come back."""

ALL = slice(None)

LITTER = re.compile(r"disk .*/\.[^/]+\.\d+|folder .*\.d")
"""Half a file beside the one that was to be, and a folder that was to go: nobody reads them."""


def killed(base: FakeGuest, act: Act, kills: slice) -> Iterator[tuple[str, FakeGuest]]:
    """The guest as each possible kill during the act leaves it, or as some of them do.

    Before a change is the same as after the one before it, so that is left out but for the first.
    """
    whole = base.copy()
    whole.count_anew()
    act(whole)
    deaths = [(1, "before")]
    for number in range(1, whole.changes + 1):
        deaths += [(number, "after")] + [(number, "torn")] * (number in whole.tearable)
    for number, how in deaths[kills]:
        made = base.copy()
        made.kill_at(number, how)
        with pytest.raises(Killed):
            act(made)
        made.revive()
        yield f"killed {how} change {number} of {whole.changes}", made


def apply(made: FakeGuest, cpus: str, scene: Scene) -> None:
    """``mdguest apply`` for these dedicated CPUs; what comes out is what it says."""
    made.disk.put(LAYOUT, cpus)
    flags = [f"--{name}={value}" for name, value in scene.settings.items()]
    assert command(made, "apply", f"--source=file:{LAYOUT}", *flags)[0] == 0


def undo(made: FakeGuest) -> None:
    status, said = command(made, "undo")
    assert status == 0, said


def applied(scene: Scene, cpus: str = "2-3") -> tuple[FakeGuest, dict[str, str]]:
    """An isolated guest, and what it was like before."""
    made = scene.make()
    before = snapshot(made)
    apply(made, cpus, scene)
    scan(made)
    return made, before


def check_applied(made: FakeGuest, scene: Scene, when: str, cpus: str = "2-3") -> None:
    apply(made, cpus, scene)
    scan(made)
    status = json.loads(command(made, "status", "--json")[1])
    assert (status["mode"], status["dedicated_cpus"]) == (scene.mode, cpus), when
    assert [problem for problem in status["problems"] if problem["heals"]] == [], when


def kept(name: str) -> bool:
    return not LITTER.fullmatch(name)


def check_undone(made: FakeGuest, before: dict[str, str], when: str) -> None:
    undo(made)
    left = {name: values for name, values in changed(made, before).items() if kept(name)}
    assert left == {}, when
    assert made.tasks.killed == [], when
    assert made.irqbalance or not made.exists(JOURNAL), when


def apply_then_apply(scene: Scene, kills: slice = ALL) -> None:
    base = scene.make()
    before = snapshot(base)
    for when, made in killed(base, lambda made: apply(made, "2-3", scene), kills):
        check_applied(made, scene, when)
        check_undone(made, before, when)


def apply_then_undo(scene: Scene, kills: slice = ALL) -> None:
    base = scene.make()
    before = snapshot(base)
    for when, made in killed(base, lambda made: apply(made, "2-3", scene), kills):
        check_undone(made, before, when)


def undo_then_undo(scene: Scene, kills: slice = ALL) -> None:
    base, before = applied(scene)
    for when, made in killed(base, undo, kills):
        check_undone(made, before, when)


def undo_then_apply(scene: Scene, kills: slice = ALL) -> None:
    base, before = applied(scene)
    for when, made in killed(base, undo, kills):
        check_applied(made, scene, when)
        check_undone(made, before, when)


def repartition_then_apply(scene: Scene, kills: slice = ALL) -> None:
    base, before = applied(scene)
    for when, made in killed(base, lambda made: apply(made, "1-2", scene), kills):
        check_applied(made, scene, when, "1-2")
        check_undone(made, before, when)


STORIES = (
    apply_then_apply,
    apply_then_undo,
    undo_then_undo,
    undo_then_apply,
    repartition_then_apply,
)
"""What is killed, and what comes after it."""
