"""Whatever happens in whatever order, and wherever the tool is killed meanwhile: an apply leaves
nothing to heal and names who lost CPUs, and after the last undo the guest is as if the tool had
never been there.
"""

from __future__ import annotations

import contextlib
import json
from typing import NamedTuple

from hypothesis import event, example, given, note, settings
from hypothesis import strategies as st
from mdguest import control
from mdguest.cpuset import CpuSet
from mdguest.errors import Trouble
from mdguest.isolation.state import STATE
from mdguest.settings import Settings

from tests.guest.fake import FakeGuest, Killed, guest, snapshot
from tests.guest.fake.devices import Irqbalance
from tests.guest.killing import kept
from tests.guest.use import changed, command, later, scan

LAYOUT = "/run/mdguest/given"
EVERYTHING = CpuSet.parse("0-4")
PINNED = ("3", "1,3", "0")
"""What threads of services have chosen before the tool came; none of it CPU 2 or 4, which go
offline, so that nobody could read that it was chosen."""

Death = tuple[int, str]


class Run(NamedTuple):
    """One run of the tool: its words, the layout, and the change at which it is killed, if any."""

    words: tuple[str, ...]
    cpus: str = ""
    death: Death | None = None


deaths = st.one_of(
    st.none(), st.tuples(st.integers(1, 50), st.sampled_from(("before", "after", "torn")))
)
modes = st.sampled_from(("", "--mode=fence", "--mode=partition", "--mode=kubernetes"))
partitions = st.sampled_from(("", "--partition=root"))


@st.composite
def applies(draw: st.DrawFn) -> Run:
    cpus = draw(st.sampled_from(("2-3", "1-3", "3", "1,3", "2", "0-3", "")))
    flags = [draw(modes), draw(partitions)]
    if "3" in cpus and draw(st.booleans()):
        flags.append("--exempt=ovs.slice=3")
    return Run(("apply", *filter(None, flags)), cpus, draw(deaths))


undos = st.builds(lambda death: Run(("undo",), "", death), deaths)
hotplug = st.sampled_from(("CPU 2 goes", "CPU 2 comes", "CPU 4 goes", "CPU 4 comes"))
events = st.sampled_from(("reload", "program", "end", "scan"))
runs = st.one_of(applies(), applies(), undos)
newer = st.tuples(
    st.sampled_from(("6.12", "7.2")), st.lists(runs | events | hotplug, min_size=1, max_size=7)
)
older = st.tuples(
    st.just("6.1"),  # which itself forgets affinities where a CPU goes
    st.lists(runs | events, min_size=1, max_size=7),
)


def populated(kernel: str, claim: str) -> FakeGuest:
    made = guest(kernel, cpus=str(EVERYTHING))
    assert made.systemd
    if claim:  # first, as Linux 6.1 forgets affinities by that
        made.set_property("user.slice", f"AllowedCPUs={claim}")
    made.systemd.add("ovs-vswitchd.service", "/system.slice")
    for number, cpus in enumerate(PINNED):
        group = "/system.slice/ovs-vswitchd.service"
        made.spawn(f"pmd{number}", group, CpuSet.parse(cpus))
    return made


def run(made: FakeGuest, one: Run) -> bool:
    """Whether it came to its end, whatever that was."""
    made.disk.put(LAYOUT, one.cpus or '{"dedicated_cpus": ""}')
    if one.death:
        made.kill_at(*one.death)
    source = [f"--source=file:{LAYOUT}"] if one.words[0] == "apply" else []
    try:
        status, said = command(made, *one.words, *source)
    except Killed:
        made.locks.clear()
        return False
    finally:
        made.revive()
    assert status in (0, 3), said
    return status == 0


def happen(made: FakeGuest, what: str) -> None:
    programs = [task for task in made.tasks if task.name == "testpmd"]
    if what == "reload":
        made.daemon_reload()
    elif what.startswith("CPU"):
        cpu, goes = CpuSet.parse(what.split()[1]), what.endswith("goes")
        made.set_online(str(made.tree.online - cpu if goes else made.tree.online | cpu))
    elif what == "scan":
        scan(made)
    elif what == "program" and made.exists("/sys/fs/cgroup/dedicated.slice"):
        made.spawn("testpmd", "/dedicated.slice")
    elif what == "end":
        for program in programs:
            made.end(program)


def check(made: FakeGuest, one: Run) -> None:
    """After an apply that came to its end."""
    scan(made)
    status = json.loads(command(made, "status", "--json")[1])
    assert [problem for problem in status["problems"] if problem["heals"]] == [], one
    isolated = CpuSet.parse(status["isolated_cpus"])
    lost = {cpus for cpus in PINNED if CpuSet.parse(cpus) & isolated}
    named = {claim["cpus"] for claim in status["displaced"] if claim["unit"].startswith("ovs-")}
    event(f"{len(named)} named, mode {status['mode']}")
    if made.tree.online == EVERYTHING:
        assert named == lost, one
    outside = [
        task
        for task in made.tasks
        if not task.bound and not task.group.path.startswith(("/dedicated.slice", "/ovs.slice"))
    ]
    assert [task.name for task in outside if made.affinity(task.tid) & isolated] == [], one


def isolate(cpus: str, *flags: str, death: Death | None = None) -> Run:
    return Run(("apply", *flags), cpus, death)


KILLED_TWICE = [
    isolate("2-3", "--mode=kubernetes", death=(6, "before")),
    Run(("undo",), death=(2, "before")),
]
WITH_A_CPU_OFFLINE = [
    isolate("2-3"),
    "CPU 2 goes",
    isolate("2-3"),
    isolate("2-3", "--mode=fence"),
]


@settings(max_examples=8, deadline=None)
@example("", ("6.1", KILLED_TWICE))
@example("", ("6.1", [isolate("2"), isolate("2-3", "--mode=fence")]))
@example("", ("6.1", WITH_A_CPU_OFFLINE))
@example("", ("6.1", [isolate("1-2"), "CPU 2 goes", Run(("undo",))]))
@given(st.sampled_from(("", "0-3", "1-3")), newer | older)
def test_any_story_ends_well(claim: str, case: tuple[str, list[Run | str]]) -> None:
    kernel, story = case
    note(f"{kernel} {claim!r} {story}")
    made = populated(kernel, claim)
    before = snapshot(made)
    for one in story:
        if isinstance(one, str):
            happen(made, one)
        elif run(made, one) and one.words[0] == "apply":
            check(made, one)
    made.set_online(str(EVERYTHING))
    happen(made, "end")
    for _ in range(2):
        assert command(made, "undo")[0] == 0
    left = {name: values for name, values in changed(made, before).items() if kept(name)}
    assert left == {}
    assert made.tasks.killed == []


# ---- what verify makes of it ----

CONTAINER = "docker-4e1f.scope"


def container_comes(made: FakeGuest) -> None:
    assert made.systemd
    if CONTAINER not in made.systemd.units:
        made.systemd.add(CONTAINER, "/system.slice")
        made.set_property(CONTAINER, "AllowedCPUs=1-3")
        made.spawn("nginx", f"/system.slice/{CONTAINER}")


def kubelet_comes(made: FakeGuest) -> None:
    assert made.systemd
    made.systemd.add("kubelet.service", "/system.slice", active=False)


def kubelet_goes(made: FakeGuest) -> None:
    assert made.systemd
    made.systemd.units.pop("kubelet.service", None)


def irqbalance_is_started_anew(made: FakeGuest) -> None:
    path = f"/run/irqbalance/irqbalance{made.changes}.sock"
    made.irqbalance = Irqbalance(CpuSet(), EVERYTHING, path)
    made.tree.version += 1


def neighbour_claims_all(made: FakeGuest) -> None:
    made.set_property("user.slice", "AllowedCPUs=0-3")


def watch_looks(made: FakeGuest) -> None:
    with contextlib.suppress(Trouble):
        control.heal(made, Settings(), lambda _: None)


OTHERS = (
    container_comes,
    kubelet_comes,
    kubelet_goes,
    irqbalance_is_started_anew,
    neighbour_claims_all,
    watch_looks,
    FakeGuest.daemon_reload,
)


def check_verdict(made: FakeGuest) -> None:
    """Where verify finds nothing, there is nothing."""
    scan(made)
    later(made)
    if not made.exists(STATE):
        return
    saved = json.loads(made.read(STATE))
    made.disk.put(STATE, json.dumps({**saved, "applied_at": 1.0}))  # irqbalance has had its time
    if command(made, "verify")[0]:
        event("something is wrong")
        return
    status = json.loads(command(made, "status", "--json")[1])
    isolated = CpuSet.parse(status["isolated_cpus"])
    on_them = [
        task.name
        for task in made.tasks
        if not task.bound
        and not task.group.path.startswith("/dedicated.slice")
        and made.affinity(task.tid) & isolated
    ]
    lines = [irq.actions for irq in made.devices.irqs if not irq.managed and irq.cpus & isolated]
    assert [*on_them, *filter(None, lines)] == []
    assert made.systemd
    if isolated:
        event(f"well, mode {status['mode']}")
        assert made.irqbalance
        assert isolated <= made.irqbalance.banned
        assert not any(task.name == "nginx" for task in made.tasks)
        assert status["mode"] == "kubernetes" or "kubelet.service" not in made.systemd.units


@settings(max_examples=10, deadline=None)
@given(
    st.sampled_from(("6.1", "6.12", "7.2")),
    st.lists(applies() | undos | st.sampled_from(OTHERS), min_size=2, max_size=7),
)
def test_verify_says_well_only_of_what_is(kernel: str, story: list[object]) -> None:
    made = guest(kernel)
    for one in story:
        note(f"{one}")
        if isinstance(one, Run):
            run(made, one)
        elif callable(one):
            one(made)
        check_verdict(made)
