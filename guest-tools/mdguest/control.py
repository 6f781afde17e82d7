"""The use cases: each reads the layout and the facts, and changes the guest under one lock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from mdguest import sources
from mdguest.cpuset import EMPTY, CpuSet
from mdguest.errors import BadInput, Incomplete, Refused, Unreachable
from mdguest.facts import Facts, Knob
from mdguest.facts.kubernetes import KUBELETS
from mdguest.isolation import state
from mdguest.isolation.apply import Occasion, Outcome, Say, apply, memory, tend
from mdguest.isolation.journal import Journal
from mdguest.isolation.observe import observe
from mdguest.isolation.plan import STAND_INS, Plan, plan
from mdguest.isolation.share import divide
from mdguest.isolation.verify import problems
from mdguest.isolation.wants import FILES
from mdguest.knobs.kind import Problem
from mdguest.layout import Layout
from mdguest.render import Split

if TYPE_CHECKING:
    from mdguest.settings import Settings
    from mdguest.system import System

CHANGES = "/run/mdguest/lock"
"""Who changes the guest holds it: one at a time."""


@dataclass(frozen=True)
class View:
    """The guest as it is, beside what it should be."""

    state: state.State
    asked: CpuSet
    facts: Facts
    plan: Plan
    problems: list[Problem]
    refused: str | None = None
    """Why this layout cannot be had here; then the plan is one for no dedicated CPU."""

    @property
    def for_others(self) -> list[Problem]:
        """What apply cannot mend."""
        return [problem for problem in self.problems if not problem.heals]


def layout(system: System, settings: Settings) -> Layout:
    """The layout: the last good one where no source can be reached.

    Raises Unreachable where there is no last good one either, BadInput for what is no layout.
    """
    try:
        return sources.read(settings.source, system)
    except Unreachable as error:
        last = state.last_good(system)
        if last is None:
            raise
        return replace(last, stale=str(error))


def early_layout(system: System) -> Layout | None:
    """What can be known before the network is there: the last good layout, or a config drive's."""
    last = state.last_good(system)
    if last is not None:
        return replace(last, stale="no source was asked since boot")
    try:
        return sources.read_drive(system)
    except Unreachable:
        return None


def applied(settings: Settings, remembered: state.State) -> Settings:
    """The settings with which the guest was isolated, where it is; but what a flag says holds."""
    if not remembered.mode:
        return settings
    then = {
        "mode": settings.mode or remembered.asked_mode or None,
        "kept": _kept(remembered),
        "partition": "root" if remembered.partition == "root" else "isolated",
        "housekeeping": remembered.housekeeping,
        "exempt": remembered.exempt,
    }
    kept = {name: value for name, value in then.items() if name not in settings.flags}
    return replace(settings, **kept)  # type: ignore[arg-type]  # by name


def _kept(remembered: state.State) -> str:
    """The mode in force; where another stands in for one that the kernel refused, that one."""
    refused = {stand_in: mode for mode, stand_in in STAND_INS.items()} if remembered.refused else {}
    return refused.get(remembered.mode, remembered.mode)


def view(system: System, asked: CpuSet, settings: Settings) -> View:
    """Look, and change nothing."""
    journal, remembered = Journal(system), state.load(system)
    facts = observe(system, journal.originals, FILES, settings.exempted())
    made = plan(asked, facts, settings, memory(journal, remembered))
    return View(remembered, asked, facts, made, problems(made, facts, remembered))


def now(system: System, settings: Settings, *, anew: bool = False) -> View:
    """The guest beside what was applied last; ``anew``: beside what the source says."""
    settings = applied(settings, state.load(system))
    return view(system, wanted(system, settings, anew=anew), settings)


def look(system: System, asked: CpuSet, settings: Settings) -> View:
    """As ``view``; where these CPUs cannot be isolated here, that is the problem."""
    try:
        return view(system, asked, settings)
    except (BadInput, Refused) as trouble:
        problem = Problem(f"CPU {asked}", "not isolated", "isolated", str(trouble))
        seen = view(system, EMPTY, replace(settings, exempt=""))
        return replace(seen, asked=asked, problems=[problem], refused=str(trouble))


def apply_layout(
    system: System, found: Layout, settings: Settings, say: Say, *, careful: bool = False
) -> Outcome:
    """Bring the guest to a layout; if ``careful``, not over the heads of programs that run now on
    CPUs of it that they chose themselves.

    Raises Refused where these would lose their CPUs, Incomplete where something is not as it should
    be afterwards.
    """
    with system.locked(CHANGES):
        if careful and not state.load(system).isolated:
            _spare(view(system, found.dedicated or EMPTY, settings).plan)
        occasion = Occasion({"undone": False, "stale": found.stale})
        outcome = apply(system, found, settings, say, occasion)
        _keep(system, found, outcome)
    _raise_failures(outcome)
    return outcome


def _keep(system: System, found: Layout, outcome: Outcome) -> None:
    """Have the layout for the next boot. Where that fails, the CPUs are isolated all the same."""
    if not found.stale:
        try:
            state.keep(system, found, state.load(system).exempt)
        except OSError as error:
            outcome.failures[Knob("file", state.LAST_GOOD)] = error.strerror or str(error)


def _spare(made: Plan) -> None:
    running = [claim for claim in made.claims if claim.running]
    if running:
        lines = "".join(f"\n  {claim.line}" for claim in running)
        raise Refused(
            f"CPU {made.dedicated} is not isolated yet, as programs run there that would lose it:"
            f"{lines}\nMend these, or run mdguest apply to isolate all the same."
        )


class Healing(NamedTuple):
    """What ``heal`` found, and did; ``outcome`` is None where nothing had to be put right."""

    warnings: tuple[str, ...] = ()
    """What only others can put right: displaced programs, a kubelet."""
    outcome: Outcome | None = None


def heal(system: System, settings: Settings, say: Say) -> Healing:
    """Put right what others changed since the last apply, if there was one.

    What the kernel refused then is not tried again. Raises Trouble as ``apply_layout``.
    """
    with system.locked(CHANGES):
        remembered = state.load(system)
        if not remembered.mode or remembered.undone:
            return Healing()
        settings = applied(settings, remembered)
        asked = CpuSet.parse(remembered.dedicated)
        seen = view(system, asked, settings)
        found = [problem for problem in seen.problems if problem.heals]
        if not found:
            tend(system, seen.plan, say)
            return Healing(warnings(seen))
        others = f", and {len(found) - 1} more" if len(found) > 1 else ""
        first = found[0]
        say(f"healing: {first.what}: {first.found}, expected {first.expected}{others}")
        same = Layout(asked, remembered.source, realtime=CpuSet.parse(remembered.realtime))
        occasion = Occasion({"stale": remembered.stale}, anew=False)
        outcome = apply(system, same, settings, say, occasion)
    _raise_failures(outcome)
    return Healing(warnings(seen), outcome)


def warnings(seen: View) -> tuple[str, ...]:
    """What only others can put right: displaced programs, a kubelet, an irqbalance."""
    return (*(claim.line for claim in seen.plan.claims), *(one.line for one in seen.for_others))


def undo(system: System, settings: Settings, say: Say) -> Outcome:
    """Put back everything that was found. Raises Trouble where something would not go back."""
    with system.locked(CHANGES):
        old = state.load(system)
        then = {"dedicated": old.dedicated, "realtime": old.realtime, "undone": True}
        nothing = Layout(EMPTY, old.source)
        outcome = apply(system, nothing, replace(settings, exempt=""), say, Occasion(then))
    _raise_failures(outcome)
    return outcome


def _raise_failures(outcome: Outcome) -> None:
    if outcome.failures:
        lines = [f"{knob.target}: {message}" for knob, message in outcome.failures.items()]
        raise Incomplete("not everything could be set:\n  " + "\n  ".join(lines))


def known(system: System, settings: Settings, *, anew: bool = False) -> Layout:
    """The layout as applied last; else, or ``anew``, as the source says.

    A source that says nothing of dedicated CPUs changes nothing.
    """
    old = state.load(system)
    applied_once = bool(old.applied_at or old.isolating)
    if applied_once and not anew:
        return _applied_last(old)
    found = layout(system, settings)
    return _applied_last(old) if applied_once and found.dedicated is None else found


def _applied_last(old: state.State) -> Layout:
    realtime = CpuSet.parse(old.realtime)
    return Layout(CpuSet.parse(old.dedicated), old.source, realtime=realtime)


def dedicated(system: System, settings: Settings, *, anew: bool = False) -> CpuSet:
    """The dedicated CPUs of the layout that is known; none where nothing is said of them."""
    return known(system, settings, anew=anew).dedicated or EMPTY


def wanted(system: System, settings: Settings, *, anew: bool = False) -> CpuSet:
    """What should be isolated: the dedicated CPUs, unless that was undone by hand."""
    return (
        EMPTY if state.load(system).undone and not anew else dedicated(system, settings, anew=anew)
    )


def split(
    system: System, settings: Settings, *, anew: bool = False, base: str | None = None
) -> Split:
    """How this guest's CPUs are divided, whether or not it can isolate them as it is now.

    Raises Refused where the source says nothing of dedicated CPUs.
    """
    found = known(system, settings, anew=anew)
    if found.dedicated is None:
        raise Refused(f"{found.source} says nothing of dedicated CPUs: there is nothing to render")
    facts = observe(system)
    cpus = divide(found.dedicated, facts, settings, state.load(system).exempt)
    here = facts.systemd.kubelets if facts.systemd else ()
    return Split(
        dedicated=cpus.dedicated,
        housekeeping=cpus.housekeeping,
        numa=facts.numa,
        exempt=cpus.exempt,
        partition=settings.partition,
        offline=cpus.dedicated - facts.online,
        realtime=found.realtime & cpus.dedicated,
        cmdline=facts.cmdline,
        boot_banned=facts.boot_isolated | facts.nohz_full,
        tickless=facts.tickless,
        kubelets=tuple(kubelet for kubelet in KUBELETS if kubelet.unit in here),
        base=base,
    )
