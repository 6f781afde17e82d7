"""The service that follows the layout and heals: what it does when this or that happens."""

from __future__ import annotations

import queue
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from mdguest import sources, watch
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput, Trouble, Unreachable
from mdguest.isolation import state
from mdguest.layout import Layout
from mdguest.settings import Settings

from tests.guest.fake import FakeGuest, guest
from tests.guest.use import command, isolate, later, problems, state_of, undo

PARTITION = "/sys/fs/cgroup/dedicated.slice/cpuset.cpus.partition"
SOURCE = "metadata:http://169.254.169.254"

Event = Callable[[], object]


class Service:
    """The watch on a fake guest: what happens while it waits is told beforehand."""

    def __init__(self, machine: FakeGuest, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine = machine
        self.now = 1000.0
        self.said: list[str] = []
        self._watch = watch.Watch(machine, Settings(), self.said.append)
        monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(self._watch, "_ask", lambda: None)
        monkeypatch.setattr(self._watch, "_await", lambda *_: self._happen())

    def run(self, *events: Event) -> None:
        """Run the service until these have happened, some seconds after one another."""
        self._events = [*events]
        self._watch._ending.clear()
        self._watch.run()

    def _happen(self) -> None:
        self.now += watch.GLANCE_SECONDS
        if self._events:
            self._events.pop(0)()
        if not self._events:
            self._watch._ending.set()

    def hears(self, answer: str | Trouble | None) -> Event:
        """The source answers: a layout, one without dedicated CPUs, or none."""
        if isinstance(answer, Trouble):
            return lambda: self._watch._found.put(answer)
        cpus = None if answer is None else CpuSet.parse(answer)
        return lambda: self._watch._found.put(Layout(cpus, SOURCE))

    def breaks(self) -> None:
        self.machine.write(PARTITION, "member")

    @property
    def healed(self) -> int:
        return sum(line.startswith("healing: ") for line in self.said)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """One on a guest with Linux 6.1; the handlers of signals are put back afterwards."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Service(guest("6.1"), monkeypatch)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def quiet() -> None:
    """Nothing happens."""


A_MINUTE = [quiet] * (int(watch.FULL_LOOK_SECONDS / watch.GLANCE_SECONDS) + 1)


def test_each_new_layout_is_applied_and_said_once(service: Service) -> None:
    service.run(*map(service.hears, ("2-3", "2-3", "1-3", "1-3")))
    assert [line for line in service.said if line.startswith("layout: ")] == [
        f"layout: CPU 2-3 dedicated, says {SOURCE}",
        f"layout: CPU 1-3 dedicated, says {SOURCE}",
    ]
    assert problems(service.machine, "1-3") == []
    assert service.said[-1] == "ended"


def test_a_layout_that_comes_again_after_somebody_applied_another_is_said_again(
    service: Service,
) -> None:
    service.run(service.hears("2-3"), lambda: isolate(service.machine, "3"), service.hears("2-3"))
    assert len([line for line in service.said if line.startswith("layout: CPU 2-3")]) == 2
    assert problems(service.machine, "2-3") == []


def test_of_several_answers_the_newest_counts(service: Service) -> None:
    def both() -> None:
        service.hears("2-3")()
        service.hears("1")()

    service.run(both)
    assert problems(service.machine, "1") == []
    assert not any("CPU 2-3 dedicated" in line for line in service.said)


def test_a_layout_without_dedicated_cpus_puts_everything_back(service: Service) -> None:
    service.run(service.hears("2-3"), service.hears(""))
    assert state_of(service.machine, "") == "off"


def test_a_source_that_says_nothing_of_it_changes_nothing(service: Service) -> None:
    service.run(service.hears("2-3"), service.hears(None))
    assert problems(service.machine, "2-3") == []


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (Unreachable("no source is there"), "no source is there; the last good layout stays"),
        (BadInput("no JSON"), "what came is no layout: no JSON; the last good layout stays"),
    ],
)
def test_without_an_answer_the_layout_stays_and_is_called_stale(
    service: Service, trouble: Trouble, said: str
) -> None:
    service.run(service.hears("2-3"), service.hears(trouble), service.hears(trouble))
    assert service.said.count(said) == 1
    assert state.load(service.machine).stale == str(trouble)
    assert problems(service.machine, "2-3") == []
    service.run(service.hears("2-3"))
    assert f"{SOURCE} is back" in service.said
    assert state.load(service.machine).stale == ""


def test_what_others_change_is_healed(service: Service) -> None:
    service.run(service.hears("2-3"), service.breaks, quiet)
    assert (service.healed, problems(service.machine, "2-3")) == (1, [])


def test_what_shows_at_no_glance_is_healed_within_a_minute(service: Service) -> None:
    def stray() -> None:
        [thread] = [task for task in service.machine.tasks if task.name == "rcu_preempt"]
        thread.mask = CpuSet.parse("0-3")

    service.run(service.hears("2-3"), stray, *A_MINUTE)
    assert (service.healed, problems(service.machine, "2-3")) == (1, [])


def test_a_kernel_thread_is_moved_within_a_minute_of_its_birth_and_no_alarm(
    service: Service,
) -> None:
    service.run(service.hears("2-3"), lambda: service.machine.spawn_kernel("late"), *A_MINUTE)
    [late] = [task for task in service.machine.tasks if task.name == "late"]
    assert (service.healed, str(late.mask)) == (0, "0-1")
    assert f"kernel thread {late.tid} (late): 0-3 → 0-1" in service.said
    later(service.machine)
    assert problems(service.machine, "2-3") == []


def test_a_fight_with_somebody_else_is_not_fought_at_full_speed(service: Service) -> None:
    rounds = 24
    service.run(service.hears("2-3"), *[service.breaks] * rounds)
    assert watch.HEALS_BEFORE_CALM <= service.healed <= rounds / 2


def test_what_was_undone_by_hand_stays_so_until_the_layout_changes(service: Service) -> None:
    def undone() -> None:
        undo(service.machine)
        remembered = state.load(service.machine)
        state.save(service.machine, replace(remembered, dedicated="2-3", undone=True))

    service.run(service.hears("2-3"), undone, quiet, service.hears("2-3"), quiet)
    assert (service.healed, state_of(service.machine, "")) == (0, "off")
    service.run(service.hears("1-3"))
    assert problems(service.machine, "1-3") == []


def test_a_server_is_told_of_each_generation_and_now_and_then_that_all_is_well(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: queue.Queue[dict[str, object]] = queue.Queue()
    monkeypatch.setattr(sources, "report", lambda _layout, status, _system: told.put(status))

    def hears(generation: int) -> Event:
        layout = Layout(CpuSet.parse("2-3"), SOURCE, generation=generation)
        return lambda: service._watch._found.put(layout)

    def much_later() -> None:
        service.now += watch.REPORT_SECONDS

    service.run(hears(1), quiet, hears(2), hears(2), quiet, much_later, quiet)
    reports = [told.get(timeout=30) for _ in range(3)]
    assert sorted(str(status["generation"]) for status in reports) == ["1", "2", "2"]
    assert told.empty()
    assert all(status["isolated_cpus"] == "2-3" for status in reports)
    assert {status["state"] for status in reports} == {"isolated"}


def test_a_layout_of_another_guest_is_refused_once_and_changes_nothing(service: Service) -> None:
    service.run(service.hears("2-3"), service.hears("2-9"), service.hears("2-9"))
    assert sum("this guest has no CPU 4-9" in line for line in service.said) == 1
    assert problems(service.machine, "2-3") == []


def test_a_layout_that_cannot_be_had_is_said_once_and_called_stale_until_it_can(
    service: Service,
) -> None:
    def asked_again() -> None:
        service.hears("2-9")()

    service.run(service.hears("2-3"), *[asked_again, *A_MINUTE] * 3)
    said = [line for line in service.said if "2-9" in line]
    assert [line.partition(":")[0] for line in said] == ["layout", "dedicated_cpus 2-9"]
    assert "this guest has no CPU 4-9" in state.load(service.machine).stale
    assert "this guest has no CPU 4-9" in command(service.machine, "status")[1]
    service.run(service.hears("1-3"))
    assert (state.load(service.machine).stale, state_of(service.machine, "1-3")) == ("", "isolated")


def test_a_program_that_keeps_its_cpus_is_named_once_and_once_mended_they_are_isolated(
    service: Service,
) -> None:
    program = service.machine.spawn("pmd", "/system.slice/cron.service", CpuSet.parse("3"))
    service.run(*[service.hears("2-3"), *A_MINUTE] * 3)
    assert len([line for line in service.said if "cron.service" in line]) == 1
    assert len([line for line in service.said if line.startswith("layout: ")]) == 1
    service.machine.end(program)
    service.run(service.hears("2-3"))
    assert state_of(service.machine, "2-3") == "isolated"


def test_a_layout_that_grows_over_a_program_is_followed_and_the_program_named(
    service: Service,
) -> None:
    service.run(service.hears("2-3"))
    service.machine.spawn("pmd", "/system.slice/cron.service", CpuSet.parse("1"))
    service.run(service.hears("1-3"), quiet)
    assert state_of(service.machine, "1-3") == "displaced"
    assert ["CPU 1 is the pool's" in line for line in service.said if "warning" in line] == [True]


def test_a_layout_that_takes_a_cpu_of_an_exempt_slice_is_followed_and_named(
    service: Service,
) -> None:
    isolate(service.machine, "1-3", exempt="ovs.slice=1-2")
    service.run(service.hears("2-3"), quiet, quiet)
    assert problems(service.machine, "2-3")[0].what == "ovs.slice"
    named = [line for line in service.said if line.startswith("warning: ovs.slice")]
    assert ["expected CPU 1-2" in line for line in named] == [True]
    service.machine.set_property("ovs.slice", "AllowedCPUs=0-3")
    service.run(quiet)
    assert service.healed == 1
    assert str(service.machine.tree.find("/ovs.slice").effective) == "2"


def pauses(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Layout], count: int
) -> list[float]:
    """Seconds between the questions to a source that answers like this, at once."""
    asking, found = watch.Watch(guest("6.1"), Settings(interval=15), print), []

    def wait(seconds: float) -> None:
        found.append(seconds)
        if len(found) == count:
            asking._ending.set()

    monkeypatch.setattr(asking._ending, "wait", wait)
    monkeypatch.setattr(sources, "read", answer)
    monkeypatch.setattr(sources, "wait", answer)
    asking._ask()
    return found


def test_a_source_is_not_asked_more_often_than_every_15_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = pauses(monkeypatch, lambda *_: Layout(CpuSet.of([2]), SOURCE), 50)
    assert 15 <= min(found) < max(found) <= 22.5  # not all guests at once


def test_a_source_that_does_not_answer_is_asked_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(*_: object) -> Layout:
        raise Unreachable("no source is there")

    found = pauses(monkeypatch, answer, 6)
    for failures, seconds in enumerate(found):
        longest = 15 * min(2**failures, 8)
        assert longest <= seconds <= 1.5 * longest


def test_a_server_that_should_wait_but_answers_at_once_is_not_flooded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = pauses(monkeypatch, lambda *_: Layout(CpuSet.of([2]), SOURCE, etag="1"), 3)
    assert min(found) >= 15
